"""The catalogue of rules: complete, well-formed, and found by whatever a reader types."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from oracles import rules, spec
from oracles.rules import Level, Rule, RulesError, UnknownRuleError, Violation, find, load, registry
from tests.rule_ids import IDS

CATALOGUE = [Path(rules.__file__).with_name(rules.FOLDER) / f"{name}.toml" for name in rules.FILES]

ALL = pytest.mark.parametrize("rule", registry().values(), ids=lambda rule: rule.id)

ENTRY = """\
[[rule]]
id = "X-ONE"
title = "something is off"
strength = "MUST"
subject = "device"
layout = "both"
requires = ["in_order"]
section = { "1.2" = "2.7.9", "1.4" = "2.7.9, 2.8.8" }
since = "1.2"
text = "It must be on."
seen = "It is off."
status = "checked"
"""


def ids(found: list[Rule]) -> list[str]:
    return [rule.id for rule in found]


# What is in it


def test_every_rule_is_there_and_none_that_nobody_asked_for() -> None:
    assert len(IDS) == len(set(IDS)) == 331
    assert sorted(set(IDS) - set(registry())) == []
    assert sorted(set(registry()) - set(IDS)) == []


def test_ids_are_unique_and_the_order_is_that_of_the_file() -> None:
    texts = [path.read_text(encoding="utf-8") for path in CATALOGUE]
    written = [name for text in texts for name in re.findall(r'^id = "(.*)"$', text, re.MULTILINE)]
    assert len(written) == len(set(written))
    assert list(registry()) == written
    assert all(name == rule.id for name, rule in registry().items())


def test_the_order_is_that_of_the_specification() -> None:
    # what is legacy of split virtqueues stands with the legacy initialization
    chapters = [name.replace("S-LEGACY", "ST").split("-")[0] for name in registry()]
    order = ["INO", "VQ", "S", "N", "P", "F", "ST", "CFG", "RST", "VQR", "SUS", "PCI", "MM", "VU", "DT"]
    assert list(dict.fromkeys(chapters)) == order
    assert chapters == sorted(chapters, key=order.index), "rules of a chapter stand together"


@ALL
def test_every_rule_says_what_it_demands_and_how_that_is_seen(rule: Rule) -> None:
    assert re.fullmatch(r"[A-Z]+(-[A-Z0-9]+)+", rule.id)
    for sentences in (rule.text, rule.seen):
        assert re.fullmatch(r"([A-Z]|[a-z]+_).*\.", sentences), "sentences, on one line; names of registers as they are"
        assert "  " not in sentences
    assert len(re.findall(r"\.(?= |$)", rule.text)) <= 2, "one or two sentences"


@ALL
def test_every_title_is_a_headline(rule: Rule) -> None:
    assert len(rule.title) <= 70
    names = "VIRTIO_|WRITE |GET_|SET_|RESET_|SUSPEND |ISR |SR-IOV |[A-Z][a-z]+[A-Z]"
    assert re.match(f"[a-z]|{names}", rule.title)
    assert not rule.title.endswith(".")


def test_titles_tell_rules_apart() -> None:
    titles = [rule.title for rule in registry().values()]
    assert sorted(set(titles)) == sorted(titles)


@ALL
def test_every_rule_has_a_place_in_its_document(rule: Rule) -> None:
    if rule.document == "vhost-user":
        assert rule.id.startswith("VU-")
        assert rule.place
        assert rule.subject in ("back-end", "front-end", "both")
    else:
        assert rule.section["1.4"]
        assert rule.since in spec.VERSIONS


@ALL
def test_section_numbers_agree_between_versions(rule: Rule) -> None:
    """1.2 put a section into chapter 2, so that what was 2.4 to 2.7 is now 2.5 to 2.8; little else moved."""
    assert list(rule.section) == list(spec.VERSIONS)
    if rule.id.startswith("DT-"):  # 1.4 put sections into the chapters of device types
        return
    if rule.since == "1.4":
        assert not any(rule.section[version] for version in ("1.1", "1.2", "1.3"))
        return
    assert rule.section["1.2"] == rule.section["1.3"] == rule.section["1.4"]
    if rule.section["1.1"]:
        moved = re.sub(r"\b2\.([4-7])\b", lambda match: f"2.{int(match[1]) + 1}", rule.section["1.1"])
        assert {"2.8.23": "2.9"}.get(moved, moved) == rule.section["1.4"]  # driver notifications became a section
    else:
        assert rule.since in ("1.2", "1.3", "")


@ALL
def test_sections_are_in_the_chapter_of_the_layout(rule: Rule) -> None:
    chapters = {"split": {"2.7"}, "packed": {"2.8"}}.get(rule.layout)
    numbers = rule.section["1.4"].split(", ")
    if len(numbers) == 2:
        assert rule.layout == "both"
        assert [number[:3] for number in numbers] == ["2.7", "2.8"], "split first"
    elif chapters and rule.document == "virtio" and "LEGACY" not in rule.id:
        assert {number[:3] for number in numbers} <= {*chapters, "2.9"}


# Levels and status


@ALL
def test_the_level_follows_from_the_strength(rule: Rule) -> None:
    prose = {"descriptive", "definition", "consequence", "interpretation", "ambiguity", "practice", "harness"}
    if rule.level is Level.MUST:
        assert rule.strength.lower() in ("must", "must not", "must not / should not")
        assert rule.strength.isupper() == (rule.document == "virtio")
    elif rule.level is Level.SHOULD:
        assert rule.strength.upper() in ("SHOULD", "SHOULD NOT")
        assert rule.strength.isupper() == (rule.document == "virtio")
    elif rule.level is Level.MAY:
        assert rule.strength in ("MAY", "MAY (implied)")
    elif rule.level is Level.LINT:
        assert rule.strength == "lint"
    else:
        assert rule.strength in prose


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("INO-ORDER", Level.MUST),
        ("S-RO-BUF", Level.MUST),
        ("VU-STOPPED", Level.MUST),
        ("S-UN-DEV-SUPP", Level.SHOULD),
        ("INO-SKIP-FULL", Level.TEXT),
        ("VQ-LIVE", Level.TEXT),
        ("P-USED-ORDER", Level.TEXT),
        ("INO-S-MASK", Level.LINT),
        ("INO-P-MASK", Level.LINT),
        ("INO-BATCH-OPT", Level.MAY),
    ],
)
def test_levels_of_some(name: str, level: Level) -> None:
    assert registry()[name].level is level


def test_only_one_normative_sentence_binds_the_device_to_the_order() -> None:
    normative = {rule.id: rule.subject for rule in find("INO") if rule.level is Level.MUST}
    assert [id_ for id_, subject in normative.items() if subject != "driver"] == ["INO-ORDER"]
    assert [id_ for id_, subject in normative.items() if subject == "driver"] == ["INO-S-NEXT", "INO-S-IND-SEQ"]


def test_what_is_not_checked_says_why() -> None:
    for rule in registry().values():
        if rule.status in ("not checked", "covered"):
            assert len(rule.reason) > 20, rule.id
        if rule.status == "covered":
            assert registry()[rule.cover].status == "checked", rule.id


def test_most_rules_are_checked() -> None:
    """Who finds no way to see a rule says why, and raises this number."""
    assert sum(rule.status == "not checked" for rule in registry().values()) <= 60


@ALL
def test_rules_that_a_text_names_exist(rule: Rule) -> None:
    chapters = "INO|VQ|VQR|S|P|F|ST|CFG|RST|SUS|PCI|MM|VU"
    named = re.findall(rf"\b(?:{chapters})-[A-Z][A-Z-]+[A-Z]", f"{rule.text} {rule.seen} {rule.reason}")
    assert [name for name in named if name not in registry()] == []


def test_requirements_fit_the_rules() -> None:
    for rule in registry().values():
        if rule.id.startswith("INO-") and rule.id not in ("INO-BIT", "INO-NEG-ONLY"):
            assert "in_order" in rule.requires, rule.id
    assert registry()["INO-NEG-ONLY"].requires == ("!in_order",)
    assert registry()["S-USED-IDX-COUNT"].requires == ("!in_order",)
    assert registry()["INO-EVENT"].requires == ("in_order", "event_idx")


# Finding


@pytest.mark.parametrize("words", ["INO-ORDER", "ino-order", " Ino-Order\n"])
def test_find_by_id_in_any_case(words: str) -> None:
    assert ids(find(words)) == ["INO-ORDER"]


def test_an_exact_id_wins_over_a_beginning() -> None:
    assert ids(find("S-USED-ID")) == ["S-USED-ID"]
    assert ids(find("S-AN-DEV-FLAGS")) == ["S-AN-DEV-FLAGS"]


def test_find_by_the_beginning_of_ids() -> None:
    split = ["INO-S-BATCH-ID", "INO-S-BATCH-SLOT", "INO-S-BATCH-IDX", "INO-S-MASK", "INO-S-IND-SLOT",
             "INO-S-SKIPPED-SLOT", "INO-S-DESC-SEQ", "INO-S-AVAIL-HEADS", "INO-S-NEXT", "INO-S-IND-SEQ"]  # fmt: skip
    assert ids(find("INO-S")) == ids(find("ino-s-")) == split, "whole words: no INO-SKIP-FULL"
    assert ids(find("INO-SK")) == ["INO-SKIP-FULL", "INO-SKIP-LEN"]
    stopping = ["VU-BASE-STOP", "VU-BASE-SPLIT", "VU-BASE-PACKED", "VU-BASE-NUM0", "VU-BASE-DRAIN"]
    assert ids(find("VU-BASE")) == [*stopping, "VU-BASE-BEFORE-INFLIGHT"]
    assert all(name.startswith("S-") for name in ids(find("s"))), "no ST-NO-EARLY-USE"


def test_find_by_section() -> None:
    found = ids(find("2.7.9"))
    assert {"INO-S-BATCH-ID", "INO-SKIP-FULL", "INO-LIVE"} <= set(found)
    assert "INO-P-BATCH-ID" not in found
    assert found == ids(find("§ 2.7.9")) == ids(find("2.7.9."))
    assert found == [name for name in registry() if name in found], "in the order of the catalogue"


def test_find_by_the_second_section_of_a_rule_for_both_layouts() -> None:
    assert {"INO-P-BATCH-ID", "INO-SKIP-FULL"} <= set(ids(find("2.8.8")))
    assert "INO-S-BATCH-ID" not in ids(find("2.8.8"))


def test_find_by_section_takes_whole_components() -> None:
    assert ids(find("2.6.1.1"))[:3] == ["INO-RESTART", "VQR-QUIET", "VQR-STATE"]
    assert "P-EV-AREA" in ids(find("2.8.10"))
    assert "P-EV-AREA" not in ids(find("2.8.1")), "2.8.10 is not in 2.8.1"
    assert {"S-USED-ID", "S-USED-LEN-MAX"} <= set(ids(find("2.7.8"))), "2.7.8.2 is in 2.7.8"


def test_find_by_section_in_one_version() -> None:
    anywhere, old, new = (set(ids(find(words))) for words in ("2.7.8", "1.1 2.7.8", "1.4 2.7.8"))
    assert "INO-P-BATCH-ID" in old
    assert "S-USED-ID" in new
    assert not old & new
    assert anywhere == old | new
    assert set(ids(find("1.1 2.6.9"))) == set(ids(find("2.6.9")))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("INO-ODER", "no rule is called 'INO-ODER'; the closest is INO-ORDER"),
        ("s-used-idd", "no rule is called 's-used-idd'; the closest is S-USED-ID"),
        ("2.7.99", "no rule is in section 2.7.99; the closest section with rules is 2.7.9"),
        ("1.1 2.8.8", "no rule is in section 2.8.8 of VIRTIO 1.1; the closest section with rules is 2.7.8"),
        ("", "'' is neither a rule, such as INO-ORDER, nor a section, such as 2.7.9"),
        ("out of\norder", "'out of\\norder' is neither a rule, such as INO-ORDER, nor a section, such as 2.7.9"),
        ("1.4 INO-ORDER", "'1.4 INO-ORDER' is neither a rule, such as INO-ORDER, nor a section, such as 2.7.9"),
    ],
)
def test_find_says_in_one_line_what_comes_closest(words: str, message: str) -> None:
    with pytest.raises(KeyError) as caught:
        find(words)
    assert type(caught.value) is UnknownRuleError
    assert str(caught.value) == message


@pytest.mark.parametrize("words", ["-", ".", "§", "²", "1.4", "[", "*", "É", "\0", "9" * 1000])
def test_find_raises_nothing_else(words: str) -> None:
    with pytest.raises(UnknownRuleError) as caught:
        find(words)
    assert "\n" not in str(caught.value)


# Citing


def test_cite() -> None:
    skip = registry()["INO-SKIP-FULL"]
    assert skip.cite() == "VIRTIO 1.4, 2.7.9, 2.8.8"
    assert skip.cite(layout="packed") == "VIRTIO 1.4, 2.8.8"
    assert skip.cite("1.1", "split") == "VIRTIO 1.1, 2.6.9"
    assert registry()["INO-ORDER"].cite("1.3", "packed") == "VIRTIO 1.3, 6.2"
    assert registry()["RST-QUIET"].cite("1.1") == "not in VIRTIO 1.1"
    assert registry()["VU-STOPPED"].cite() == "vhost-user, Ring states"


# Loading


def test_load_reads_every_field() -> None:
    rule = load(ENTRY)["X-ONE"]
    section = {"1.1": "", "1.2": "2.7.9", "1.3": "", "1.4": "2.7.9, 2.8.8"}
    assert rule == Rule(
        "X-ONE", Level.MUST, "MUST", "device", "both", ("in_order",), "something is off", "It must be on.",
        "It is off.", section, "virtio", "", "1.2", "checked", "",
    )  # fmt: skip
    assert {rule}, "can be put in a set"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('title = "something is off"\n', "", "title is missing"),
        ('"It must be on."', '""', "text is empty"),
        ('"It is off."', '" It is off."', "seen is not a string without blanks around it"),
        ('"It is off."', "7", "seen is not a string without blanks around it"),
        ('"MUST"', '"perhaps"', "no strength is called 'perhaps'"),
        ('"device"', '"devise"', "subject is 'devise', not one of device, driver"),
        ('"both"', '"ring"', "layout is 'ring', not one of split, packed, both"),
        ('"checked"', '"done"', "status is 'done'"),
        ('["in_order"]', '["inorder"]', "requires: no feature is called 'inorder'"),
        ('["in_order"]', '"in_order"', "requires is not a list"),
        ('"1.2" = "2.7.9"', '"1.5" = "2.7.9"', "section: there is no version '1.5'"),
        ('"1.2" = "2.7.9"', '"1.2" = "2.7.x"', "section: '2.7.x' is not a section number"),
        ('"1.2" = "2.7.9"', '"1.2" = ""', "section: '' is not a section number"),
        ('since = "1.2"', 'since = "1.3"', "a rule of VIRTIO has a section in the version that it exists since"),
        ('since = "1.2"', 'since = "1.2"\ndocument = "vhost-user"', "a rule of vhost-user has a place"),
        ('"checked"', '"not checked"', "a rule has a reason if it is not checked"),
        ('"checked"', '"permission"', "a rule has status permission if its strength is MAY"),
        ('"MUST"', '"MAY"', "a rule has status permission if its strength is MAY"),
        ("status", "stattus", "no field is called 'stattus'"),
    ],
)
def test_a_bad_entry_is_named_with_file_and_number(old: str, new: str, complaint: str) -> None:
    assert old in ENTRY
    with pytest.raises(RulesError) as caught:
        load(ENTRY.replace("X-ONE", "X-TWO") + ENTRY.replace(old, new, 1), "some.toml")
    assert str(caught.value).startswith(f"some.toml: rule 2 (X-ONE): {complaint}")


def test_a_repeated_id_is_refused() -> None:
    with pytest.raises(RulesError, match=r"^some\.toml: rule 2 \(X-ONE\): the id is taken"):
        load(ENTRY + ENTRY, "some.toml")


@pytest.mark.parametrize("text", ["", "rule = 1", "[rule]", ENTRY + "[other]"])
def test_a_file_of_other_things_is_refused(text: str) -> None:
    with pytest.raises(RulesError, match=r"^some\.toml: it must consist of \[\[rule\]\] entries$"):
        load(text, "some.toml")


def test_an_entry_that_is_no_table_is_refused() -> None:
    with pytest.raises(RulesError, match=r"^some\.toml: rule 1 \(not a table\): it is not a table$"):
        load("rule = [1]", "some.toml")


def test_bad_toml_is_named_with_file_and_line() -> None:
    with pytest.raises(RulesError, match=r"^some\.toml: .*line 2"):
        load("[[rule]]\nid = \n", "some.toml")


def test_a_missing_catalogue_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "FILES", ("nowhere",))
    with pytest.raises(RulesError, match=r"nowhere\.toml: .*No such file"):
        registry.__wrapped__()


def test_the_registry_is_read_once() -> None:
    assert registry() is registry()


def test_nothing_is_read_before_somebody_asks() -> None:
    """Judging imports this module: that must not cost what reading the catalogue costs."""
    program = (
        "import sys; from oracles.rules import Violation, registry; Violation('INO-ORDER', 'x');"
        "late = {'tomllib', 'difflib'}; assert not late & set(sys.modules), late & set(sys.modules);"
        "registry(); assert 'tomllib' in sys.modules"
    )
    # -S: no site, whose .pth files (editable installs) may import anything.
    root = Path(rules.__file__).parents[1]
    done = subprocess.run([sys.executable, "-S", "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# Violations


def test_a_violation_is_a_plain_value() -> None:
    one = Violation("INO-ORDER", "buffer 3 came back before buffer 2", expected="2", observed="3", queue=1, event=7)
    assert one == Violation("INO-ORDER", "buffer 3 came back before buffer 2", "2", "3", 1, -1, -1, 7)
    assert one != Violation("INO-ORDER", "buffer 3 came back before buffer 2")
    assert not hasattr(one, "__dict__")
    with pytest.raises(FrozenInstanceError):
        one.rule = "P-USED-ID"  # type: ignore[misc]  # that it can't be assigned is the point

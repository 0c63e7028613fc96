"""Lists of known deviations: read strictly, matched by target, version, rule and what the program has."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz import deviations, encoding
from fuzz.traits import WORDS, traits, words
from fuzz.trouble import EnvironmentTrouble, UsageTrouble

GOOD = """
[[deviation]]
id = "one"
targets = ["qemu:virtio-scsi-*", "qemu:virtio-blk-*"]
versions = ["10.0.2"]
rules = ["VQ-LIVE", "INO-LIVE"]
when = ["in_order", "full ring"]
reason = "for a test"
"""
FULL = "virtqueue-program 1\nqueue split 2\nfeatures version_1 in_order\nsupply out:1\nsupply in:1\nnotify\n"


def entry(tmp_path: Path, text: str) -> deviations.Deviation:
    path = tmp_path / "list.toml"
    path.write_text(text, encoding="utf-8")
    (one,) = deviations.read(path)
    return one


@pytest.mark.parametrize(
    ("target", "version", "rule", "text", "covered"),
    [
        ("qemu:virtio-blk-pci,in_order=on", "QEMU emulator version 10.0.2", "INO-LIVE", FULL, True),
        ("qemu:virtio-net-pci,in_order=on", "QEMU emulator version 10.0.2", "INO-LIVE", FULL, False),
        ("qemu:virtio-blk-pci,in_order=on", "QEMU emulator version 11.1.3", "INO-LIVE", FULL, False),
        ("qemu:virtio-blk-pci,in_order=on", "QEMU emulator version 10.0.2", "INO-ORDER", FULL, False),
        ("qemu:virtio-blk-pci", "10.0.2", "VQ-LIVE", FULL.replace("split 2", "split 4"), False),
        ("qemu:virtio-blk-pci", "10.0.2", "VQ-LIVE", FULL.replace(" in_order", ""), False),
    ],
)
def test_an_entry_covers_what_it_says(
    tmp_path: Path, target: str, version: str, rule: str, text: str, covered: bool
) -> None:
    one = entry(tmp_path, GOOD)
    assert one.covers(target, version, rule, "", encoding.load(text)) is covered


def test_words_and_exclusions_narrow_an_entry(tmp_path: Path) -> None:
    one = entry(tmp_path, GOOD + 'text = "main loop"\nwithout = ["reset"]\n')
    program = encoding.load(FULL)
    assert one.covers("qemu:virtio-blk-pci", "10.0.2", "VQ-LIVE", "its main loop hangs", program)
    assert not one.covers("qemu:virtio-blk-pci", "10.0.2", "VQ-LIVE", "something else", program)
    assert not one.covers("qemu:virtio-blk-pci", "10.0.2", "VQ-LIVE", "main loop", encoding.load(FULL + "reset\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[deviation]", "can't be read"),
        ("[other]\n", "something else"),
        (GOOD.replace('reason = "for a test"', ""), "deviation 1 lacks reason"),
        (GOOD.replace('["VQ-LIVE", "INO-LIVE"]', '"VQ-LIVE"'), "rules must be a list of texts"),
        (GOOD + "bogus = 1\n", "no field 'bogus'"),
    ],
)
def test_a_broken_list_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(EnvironmentTrouble, match=said) as caught:
        entry(tmp_path, text)
    assert str(tmp_path) in str(caught.value)


def test_our_lists_can_be_read_and_name_what_exists() -> None:
    from oracles.rules import registry

    names = {"CRASHED", "HUNG", "BROKEN", *registry()}
    for one in deviations.every():
        assert set(one.rules) <= names | {"*"}, one.id
        assert words([*one.when, *one.without]) == {*one.when, *one.without}, one.id
        assert len(one.reason) > 20, one.id


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("supply in:1 in:1", {"full ring", "whole ring"}),
        ("supply in:1\nnotify\nreceive 1\nsupply in:1", set()),
        ("supply in:1\nreceive 1\nsupply in:1", {"full ring"}),  # the device may not have looked yet
        ("supply in:1\nsupply in:1", {"full ring"}),
        ("supply in:1\nsupply in:1 in:1", {"full ring"}),  # the second one fits if the first is back by then
        ("supply in:1 held\nreset\nsupply in:1", {"held", "reset"}),
        ("queue-reset size=4\nsupply in:1 in:1", {"queue reset", "other size"}),
        ("lever pause=on\nsuppress event ahead=1", {"lever pause", "event"}),
    ],
)
def test_traits_of_a_program(steps: str, expected: set[str]) -> None:
    program = encoding.load(f"virtqueue-program 1\nqueue split 2\nfeatures version_1 ring_reset\n{steps}\n")
    assert traits(program) - {"split", "version_1", "ring_reset"} == expected


def test_a_queue_reset_without_its_feature_is_none() -> None:
    text = "virtqueue-program 1\nqueue split 2\nfeatures version_1\nqueue-reset size=4\nsupply in:1 in:1\n"
    program = encoding.load(text)
    assert traits(program) == {"split", "version_1", "full ring", "whole ring"}


def test_traits_are_typed_with_hyphens_or_spaces() -> None:
    assert words(["full-ring", "queue reset", "in_order", "lever-pause"]) == {
        *("full ring", "queue reset", "in_order", "lever pause")
    }
    assert words(WORDS) == set(WORDS)
    with pytest.raises(UsageTrouble, match="nearest is 'full-ring'"):
        words(["fullring"])

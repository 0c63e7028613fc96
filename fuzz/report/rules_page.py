"""The catalogue as one page, ``docs/rules.md``: what is checked, where it is written, how it shows, what proves it.

Made from the registry and the planted faults; a test holds the page against them. Never runs anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fuzz.proof import FAMILIES, Planted, family
from oracles import spec
from oracles.rules import Rule, registry

TITLES = {
    "INO": "In-order use",
    "VQ": "All virtqueues",
    "S": "Split virtqueues",
    "P": "Packed virtqueues",
    "N": "Notifications",
    "F": "Features",
    "ST": "Status and initialization",
    "CFG": "Configuration space",
    "RST": "Device reset",
    "VQR": "Virtqueue reset",
    "SUS": "Suspend",
    "PCI": "virtio-pci",
    "MM": "virtio-mmio",
    "VU": "vhost-user",
    "DT": "Device types",
}
_HEAD = """\
# The rules

Made from `oracles/catalogue/` and the planted faults by `make rules`: not to be edited. `vqfuzz rules ID` tells one in
full.

- **level**: MUST (normative), SHOULD (a warning; a failure with `--strict`), TEXT (described, or following from it),
  LINT (a suspicion, never a failure), MAY (a permission: never accused, listed so that readers see that).
- **binds**: who must keep it. Rules of drivers and front-ends are judged on our own writes, too: one that we break is
  our fault and never the device's.
- **proof**: planted faults that this rule alone names, each on its file under `corpus/rules/`; without the rule the
  fault is lost (`vqfuzz selftest`). «as X»: it can't be told from X, and is reported under that name.
- **policy**: our choice where the text is open: [policy.md](policy.md).
"""


def proofs(families: Sequence[str] = FAMILIES) -> dict[str, list[Planted]]:
    """Planted faults by the rule that names them."""
    found: dict[str, list[Planted]] = {}
    for name in families:
        for planted in family(name):
            found.setdefault(planted.rule, []).append(planted)
    return found


def page(rules: Iterable[Rule], proven: Mapping[str, Sequence[Planted]]) -> str:
    """The whole page."""
    chapters: dict[str, list[Rule]] = {}
    for rule in rules:
        chapters.setdefault(rule.id.split("-")[0], []).append(rule)
    every = [rule for chapter in chapters.values() for rule in chapter]
    counts = {status: sum(rule.status == status for rule in every) for status in ("checked", "covered", "permission",
                                                                                 "not checked")}  # fmt: skip
    lines = [_HEAD, f"{len(every)} rules: " + ", ".join(f"{count} {status}" for status, count in counts.items()) + "."]
    for chapter, members in chapters.items():
        lines += ["", f"## {TITLES.get(chapter, chapter)}", "", *_table(members, proven)]
    unseen = [rule for rule in every if rule.status == "not checked"]
    lines += ["", "## Not checked, and why", ""]
    lines += [f"- **{rule.id}** {rule.text} *{rule.reason}*" for rule in unseen]
    return "\n".join(lines) + "\n"


def _table(rules: Sequence[Rule], proven: Mapping[str, Sequence[Planted]]) -> list[str]:
    versions = " | ".join(spec.VERSIONS)
    lines = [f"| rule | level | binds | {versions} | demands | seen | proof |", "|---" * (6 + len(spec.VERSIONS)) + "|"]
    for rule in rules:
        if rule.document == "virtio":
            sections = [rule.section[version] or "–" for version in spec.VERSIONS]
        else:
            sections = [rule.place, *[""] * (len(spec.VERSIONS) - 1)]
        binds = rule.subject + ("" if rule.layout == "both" else f", {rule.layout}")
        cells = [f"**{rule.id}**", rule.level.value, binds, *sections, rule.text, rule.seen, _proof(rule, proven)]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def _proof(rule: Rule, proven: Mapping[str, Sequence[Planted]]) -> str:
    policy = f" · policy {rule.policy}" if rule.policy else ""
    if rule.status == "covered":
        return f"as {rule.cover}: {rule.reason}{policy}"
    if rule.status != "checked":
        return rule.status + policy
    return ", ".join(dict.fromkeys(f"`{one.name}`" for one in proven.get(rule.id, ()))) + policy


def whole() -> str:
    """The page as it must be now."""
    return page(registry().values(), proofs())

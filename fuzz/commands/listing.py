"""``probe``, ``targets`` and ``rules``: what there is."""

from __future__ import annotations

import textwrap

from fuzz import registry
from fuzz.commands.fuzzing import say
from fuzz.report import policy
from fuzz.report.text import where
from fuzz.trouble import CONFORMS, UsageTrouble
from oracles import spec
from oracles.rules import Rule, UnknownRuleError, find
from oracles.rules import registry as all_rules

_WIDTH = 100


def probe(words: str, qemu: str = "") -> int:
    """Print what a target offers."""
    target = registry.make(words, qemu)
    try:
        offer = target.probe()
        describe = target.describe()
    finally:
        target.close()
    limits = target.limits
    other = [str(bit) for bit in range(64) if (offer.features & ~sum(spec.FEATURE_NAMES.values())) >> bit & 1]
    rows = [
        ("target", words),
        ("role", target.role),
        ("features", " ".join(spec.feature_names(offer.features)) or "none"),
        ("other bits", " ".join(other)),
        ("queues", str(offer.queues)),
        ("layouts drawn", " ".join(limits.layouts)),
        ("in_order drawn", " ".join("on" if one else "off" for one in limits.in_order)),
        ("device class", limits.device),
        ("config", offer.config.hex(" ", 4)),
    ]
    told = {"device class", "ring features", "other features"}  # above, in the same words for every target
    rows += [(name, text) for name, text in offer.details if name not in told]
    known = {name for name, _ in rows}
    rows += [(name, text) for name, text in describe.items() if name not in known]
    for name, text in rows:
        if text:
            say("\n".join(_wrap(text, 17, f"{name:<15}  ")))
    return CONFORMS


def _wrap(text: str, indent: int, first: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=first, subsequent_indent=" " * indent, break_on_hyphens=False)


def targets() -> int:
    """Print all targets, and the model's faults."""
    rows = list(registry.known())
    width = max(len(row.words) for row in rows)
    for row in rows:
        state = f"NOT HERE: {row.missing}" if row.missing else "ready"
        say("\n".join(_wrap(f"{row.role}  {row.text} · {state}", width + 10, f"{row.words:<{width}}  ")))
    from fuzz.targets.model.faults import FAULTS

    say("\nfaults of the model:")
    width = max(map(len, FAULTS)) + 8
    for fault in sorted(FAULTS.values(), key=lambda fault: fault.name):
        say("\n".join(_wrap(fault.text, width + 2, f"  {'model:' + fault.name:<{width - 2}}  ")))
    from fuzz.targets.model_driver.faults import FAULTS as DRIVERS

    say("\nfaults of model-driver:")
    for driver_fault in DRIVERS.values():
        say("\n".join(_wrap(driver_fault.text, 22, f"  {'model-driver:' + driver_fault.name:<18}  ")))
    from fuzz.targets.model.backend_faults import FAULTS as PROTOCOL

    say("\nfaults of model-vhost-user, beside those of the model (f: of our own front-end):")
    for name, protocol_fault in PROTOCOL.items():
        say("\n".join(_wrap(protocol_fault.text, 26, f"  {'model-vhost-user:' + name:<22}  ")))
    from fuzz.targets.model.hostile_faults import HOSTILE

    say("\nfaults that only hostile programs show (--mode hostile):")
    for name, one in HOSTILE.items():
        say("\n".join(_wrap(f"{one.text} · {one.severity}", 18, f"  {'model:' + name:<14}  ")))
    from fuzz.targets.model.register_faults import FAULTS as REGISTER_FAULTS

    say("\nfaults of its registers:")
    for planted in REGISTER_FAULTS.values():
        kind = f"model-{planted.transports[0]}" if len(planted.transports) == 1 else "model-pci, model-mmio"
        say("\n".join(_wrap(f"{planted.text} ({kind})", 26, f"  {planted.name:<22}  ")))
    return CONFORMS


def rules(words: str) -> int:
    """Print the table of rules, or those that *words* mean in full."""
    if not words:
        say(_table(list(all_rules().values())))
        return CONFORMS
    try:
        found = find(words)
    except UnknownRuleError as error:
        raise UsageTrouble(f"{error} (vqfuzz rules lists them all)") from None
    say("\n\n".join(_detail(rule) for rule in found))
    return CONFORMS


def _table(rules: list[Rule]) -> str:
    width = max(len(rule.id) for rule in rules)
    newest = spec.VERSIONS[-1]
    sections = [rule.section[newest] or (rule.document if rule.document != "virtio" else "-") for rule in rules]
    wide = max(len(section) for section in sections)
    lines = [f"{'rule':<{width}}  {'level':<6}  {f'VIRTIO {newest}':<{wide}}  what is wrong"]
    lines += [
        f"{rule.id:<{width}}  {rule.level.value:<6}  {section:<{wide}}  {rule.title}"
        + ("" if rule.status == "checked" else f" ({rule.status})")
        for rule, section in zip(rules, sections, strict=True)
    ]
    return "\n".join(lines)


def _detail(rule: Rule) -> str:
    numbers = [f"{version}: {rule.section[version]}" for version in spec.VERSIONS if rule.section[version]]
    needs = " ".join(name if not name.startswith("!") else f"no {name[1:]}" for name in rule.requires)
    rows = [
        ("level", f"{rule.level.value}" + ("" if rule.level.value == rule.strength else f" ({rule.strength})")),
        ("binds", f"{rule.subject}, {rule.layout if rule.layout != 'both' else 'split and packed'}"
         + (f", with {needs}" if needs else "")),
        ("written", where(rule)),
        ("sections", ", ".join(numbers)),
        ("demands", rule.text),
        ("seen", rule.seen),
        ("status", rule.status + (f": {rule.reason}" if rule.reason else "")),
    ]  # fmt: skip
    lines = [f"{rule.id}  {rule.title}"]
    for name, text in rows:
        if text:
            lines += _wrap(text, 12, f"  {name:<8}  ")
    for name, text in policy.told(rule):
        lines += _wrap(f"{name}: {text}", 12, "  ")
    return "\n".join(lines)

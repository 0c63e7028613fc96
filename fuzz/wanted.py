"""What the user asked of a campaign, and what of that a target can do.

Knows options and offers. Must not know what a campaign does with them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from fuzz.engines import DEFAULT, Source
from fuzz.program import Limits
from fuzz.report.text import quote
from fuzz.targets import Offer, Target, TargetError
from oracles import spec


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asked for."""

    seed: int
    runs: int | None = None
    seconds: float | None = None
    layout: str | None = None  # split | packed | both
    in_order: str | None = None  # on | off | both
    go_on: bool = False
    out: Path = Path("vqfuzz-out")
    qemu: str = ""  # what starts QEMU, if not the usual one
    avoid: frozenset[str] = frozenset()  # traits of programs that are left out
    mode: str = "legal"  # legal | hostile | mixed
    everything: bool = False  # report known deviations, too
    version: str = spec.VERSIONS[-1]  # of VIRTIO, to judge by
    strict: bool = False  # what SHOULD be, must be
    engine: str = DEFAULT  # where programs come from

    def source(self, target: Target, limits: Limits) -> Source:
        """What the engine must know."""
        return Source(target.name, self.qemu, self.seed, self.mode, limits, self.runs, self.avoid, self.version,
                      self.strict)  # fmt: skip

    def options(self, runs: int) -> str:
        """The same as options of the command, for exactly so many programs."""
        words = [f"--seed {self.seed}", f"--runs {runs}"]
        words += [f"--engine {self.engine}"] if self.engine != DEFAULT else []
        words += [f"--mode {self.mode}"] if self.mode != "legal" else []
        words += [f"--layout {self.layout}"] if self.layout else []
        words += [f"--in-order {self.in_order}"] if self.in_order else []
        words += ["--continue"] if self.go_on else []
        words += [f"--avoid {quote(word.replace(' ', '-'))}" for word in sorted(self.avoid)]
        words += ["--all"] if self.everything else []
        words += [f"--spec {self.version}"] if self.version != spec.VERSIONS[-1] else []
        words += ["--strict"] if self.strict else []
        words += [f"--out {quote(str(self.out))}"] if str(self.out) != "vqfuzz-out" else []
        words += [f"--qemu {quote(self.qemu)}"] if self.qemu else []
        return " ".join(words)


def narrow(target: Target, offer: Offer, layout: str | None, in_order: str | None) -> tuple[Limits, list[str]]:
    """What may be drawn, and a line about what was asked for and can't be. Raises TargetError if nothing is left."""
    limits = target.limits
    offered = offer.features
    layouts = tuple(one for one in limits.layouts if one == spec.SPLIT or offered & spec.RING_PACKED)
    orders = tuple(one for one in limits.in_order if not one or offered & spec.IN_ORDER)
    names = " ".join(spec.feature_names(offered)) or "no ring features"
    notes = []
    if layout in spec.LAYOUTS:
        if layout not in layouts:
            raise TargetError(f"{target.name} has no {layout} virtqueues; it offers: {names}")
        layouts = (layout,)
    elif layout == "both" and len(layouts) < len(spec.LAYOUTS):
        notes.append(f"only {layouts[0]} virtqueues: {target.name} offers {names}")
    if in_order in ("on", "off"):
        if (in_order == "on") not in orders:
            raise TargetError(f"{target.name} does not offer in_order; it offers: {names}")
        orders = (in_order == "on",)
    elif in_order == "both" and True not in orders:
        notes.append(f"only without in_order: {target.name} offers {names}")
    limits = replace(limits, layouts=layouts, in_order=orders, features=limits.features & offered)
    return limits, notes

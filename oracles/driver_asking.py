"""The questions that are put to what a driver exposes: the register that all modules of driver rules share."""

from __future__ import annotations

from oracles.asking import Questions
from oracles.exposing import Situation

_DRIVER: Questions[Situation] = Questions()
rule = _DRIVER.rule
broken = _DRIVER.broken
rule_ids = _DRIVER.rule_ids
moments = _DRIVER.moments

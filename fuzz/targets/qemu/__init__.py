"""QEMU devices through qtest: no guest runs, we are the driver."""

from __future__ import annotations

"""Cases of suspending and resuming a device (VIRTIO 1.4, 3.4). Knows registers and the bench, and no target."""

from __future__ import annotations

from fuzz.cases.register_bench import Bench
from fuzz.cases.register_cases import request, running
from fuzz.targets.registers import Refused
from oracles import spec
from oracles.registers import SUSPEND

PARTS = tuple((at, 1) for at in range(8))


def _running(bench: Bench) -> None:
    bench.probe()
    bench.need(spec.SUSPEND)
    running(bench, spec.SUSPEND)


def _asleep(bench: Bench) -> None:
    """Suspended, and everything that came before is accounted for. Raises Refused if it does not become so."""
    bench.driver.suspend()
    bench.look()
    for ring in bench.rings.values():
        ring.end("suspend")


def _awake(bench: Bench) -> None:
    bench.driver.resume()
    for ring in bench.rings.values():
        ring.begin("restart")


def sleep(bench: Bench) -> None:
    """Suspended and resumed between requests."""
    _running(bench)
    request(bench)
    bench.listen()
    try:
        _asleep(bench)
    except Refused:
        bench.idle()
        return
    for _ in range(4):
        bench.watch(0.02)
    _awake(bench)
    request(bench)
    bench.idle()


def busy(bench: Bench) -> None:
    """Suspended right behind a notification."""
    _running(bench)
    ring = bench.rings[0]
    for _ in range(3):
        ring.supply()
    ring.kick()
    _asleep(bench)
    for _ in range(4):
        bench.watch(0.02)
    _awake(bench)
    bench.until(lambda: not ring.outstanding)
    bench.idle()


def too_early(bench: Bench) -> None:
    """SUSPEND before DRIVER_OK means nothing."""
    bench.probe()
    bench.need(spec.SUSPEND)
    bench.agree(spec.SUSPEND)
    bench.meaning("SUS-DRV-WHEN", "ST-NOCLEAR")
    driver = bench.driver
    driver.put("device_status", driver.status | SUSPEND)
    driver.get("device_status")
    driver.put("device_status", driver.status)
    driver.get("device_status")


def config_written(bench: Bench) -> None:
    """The configuration is written while the device is suspended: that is to be ignored."""
    _running(bench)
    driver = bench.driver
    driver.config(*PARTS)
    _asleep(bench)
    old = driver.config(*PARTS)
    bench.meaning("SUS-DRV-QUIET")
    driver.put("config", old[1] ^ 0x20, at=1, width=1)
    driver.config(*PARTS)
    _awake(bench)
    driver.config(*PARTS)


def config_changed(bench: Bench) -> None:
    """The configuration changes from behind meanwhile: that is told on resuming."""
    _running(bench)
    driver = bench.driver
    driver.config(*PARTS)
    _asleep(bench)
    bench.device.disturb()
    driver.config(*PARTS)
    bench.watch(0.02)
    _awake(bench)
    bench.listen(0.05)
    driver.config(*PARTS)
    bench.idle()

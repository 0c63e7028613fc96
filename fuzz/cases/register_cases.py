"""Cases of features, status, configuration and queues, on virtio-pci and virtio-mmio.

Each is one function of a bench: a few steps of a driver, after each of which the oracle has its say. None looks at
the device to decide what is wrong. Knows registers and the bench. Must not know targets.
"""

from __future__ import annotations

from contextlib import suppress

from fuzz.cases import NotOffered
from fuzz.cases.register_bench import Bench
from fuzz.cases.small_ring import knows
from fuzz.targets.registers import Refused
from oracles import registers, spec
from oracles.registers import NO_VECTOR
from oracles.trace import Called, Idle

#: What changes a ring, and may be accepted alone.
RING_FEATURES = (spec.INDIRECT_DESC, spec.EVENT_IDX, spec.IN_ORDER, spec.RING_PACKED, spec.RING_RESET)
KNOWN = sum(spec.FEATURE_NAMES.values()) | spec.NOTIF_CONFIG_DATA


def request(bench: Bench, queue: int = 0) -> None:
    """One buffer, there and back; nothing, if no request is known that the device always answers."""
    if not knows(bench.device.device_class):
        return
    ring = bench.rings[queue]
    ring.supply()
    ring.kick()
    if not bench.until(lambda: not ring.outstanding):
        bench.idle()


def running(bench: Bench, more: int = 0, queues: int = 1, less: int = 0) -> None:
    """The device is initialized, with so many queues."""
    bench.probe()
    bench.agree(more, less)
    for queue in range(queues):
        bench.ring(queue)
    bench.run()


def offer(bench: Bench) -> None:
    """What it is and what it offers, read twice."""
    bench.probe()
    bench.driver.offer()


def initialize(bench: Bench) -> None:
    """From reset to DRIVER_OK, and one request."""
    running(bench)
    request(bench)


def accept_all(bench: Bench) -> None:
    """All ring features that are offered."""
    offered = bench.probe()
    with suppress(Refused):  # it may insist on what a driver forgets
        bench.driver.begin(lambda _: offered & (KNOWN | bench.device.accept) & ~_foreign(bench))


def _foreign(bench: Bench) -> int:
    """Features that the transport does not have (4.2.5), and those that need more than a register."""
    return spec.SR_IOV | spec.ADMIN_VQ | (0 if bench.pci else spec.NOTIF_CONFIG_DATA)


def subsets(bench: Bench) -> None:
    """Each ring feature alone, and read back; then the first set again."""
    offered = bench.probe()
    driver = bench.driver
    sets = [0, *(bit for bit in RING_FEATURES if offered & bit), 0]
    for more in sets:
        with suppress(Refused):
            bench.agree(more)
        if bench.pci:
            for window in (0, 1):
                driver.put("driver_feature_select", window)
                driver.get("driver_feature")
    driver.reset()


def wrong_window(bench: Bench) -> None:
    """Windows of features that nobody has defined read 0."""
    bench.probe()
    for window in (4, 0x1000, 0xFFFFFFFF):
        bench.driver.put("device_feature_select", window)
        bench.driver.get("device_feature")


def refused(bench: Bench) -> None:
    """A set that the device need not take: the driver gives up, resets it, and begins again."""
    bench.probe()
    bench.need(spec.ORDER_PLATFORM)
    with suppress(Refused):
        bench.agree(less=spec.ORDER_PLATFORM)
    bench.agree()
    bench.ring(0)
    bench.run()
    request(bench)


def configuration(bench: Bench) -> None:
    """Read before and after FEATURES_OK."""
    bench.probe()
    driver = bench.driver
    parts = ((0, 1), (1, 1), (2, 1), (3, 1))
    driver.acknowledge()
    driver.config(*parts)
    bench.agree()
    driver.config(*parts)


def changing(bench: Bench) -> None:
    """The configuration changes from behind."""
    running(bench)
    driver = bench.driver
    parts = tuple((at, 1) for at in range(16))
    driver.config(*parts)
    if not bench.device.disturb():
        raise NotOffered("the configuration of this device can't be made to change here")
    bench.until(lambda: False, 0.2)
    driver.config(*parts)
    if bench.pci:
        driver.get("isr")
        bench.idle()
        driver.get("isr")
        driver.get("isr")


def reset(bench: Bench) -> None:
    """Device reset of a running device: nothing is left."""
    running(bench, queues=2 if _second(bench) else 1)
    request(bench)
    bench.listen()
    driver = bench.driver
    for ring in bench.rings.values():
        ring.end("device")
    count = len(bench.rings)
    bench.rings.clear()
    driver.reset()
    driver.get("device_status")
    if bench.pci:
        driver.get("config_msix_vector")
    else:
        driver.get("interrupt_status")
    for queue in range(count):
        driver.put("queue_select", queue)
        driver.get("queue_enable")
        if bench.pci:
            driver.get("queue_msix_vector")
        if driver.offered & spec.RING_RESET:
            driver.get("queue_reset")


def _second(bench: Bench) -> bool:
    """Whether there is a second queue."""
    bench.probe()
    return bench.driver.maximum(1) > 0


def sizes(bench: Bench) -> None:
    """Sizes and notification places of all queues, and the size of one that is not there."""
    bench.probe()
    driver = bench.driver
    count = driver.count()
    for queue in range(count):
        driver.maximum(queue)
        if bench.pci:
            driver.get("queue_notify_off")
    for queue in (count, count + 1, 0x7FFF):
        driver.maximum(queue)


def sizes_agreed(bench: Bench) -> None:
    """Sizes after features are negotiated, without packed rings."""
    bench.probe()
    bench.agree()
    for queue in range(bench.driver.count(4)):
        bench.driver.maximum(queue)


# --- queue reset ------------------------------------------------------------------------------------------------------


def queue_reset(bench: Bench) -> None:
    """One queue is reset, and enabled again elsewhere with another size; a second one goes on."""
    two = _second(bench)
    bench.need(spec.RING_RESET)
    driver = bench.driver
    bench.agree(spec.RING_RESET)
    for queue in range(1 + two):
        bench.ring(queue)
    bench.run()
    for queue in bench.rings:
        request(bench, queue)
        driver.put("queue_select", queue)
        driver.get("queue_reset")
    driver.reset_queue(0)
    bench.rings[0].end("queue")
    driver.get("queue_enable")
    if two:
        driver.put("queue_select", 1)
        driver.get("queue_enable")
        request(bench, 1)
    _again(bench)


def _again(bench: Bench) -> None:
    driver = bench.driver
    ring = bench.ring(0, 8)
    ring.begin("queue_reset")
    driver.get("queue_reset")
    driver.get("queue_enable")
    if bench.pci:
        driver.get("queue_size")
        for area in registers.AREAS:
            driver.get(area, 0)
            driver.get(area, 4)
    request(bench)


# --- virtio-pci -------------------------------------------------------------------------------------------------------


def vectors(bench: Bench) -> None:
    """Every vector for the configuration and the first queue, and one that there is not."""
    bench.probe()
    _need_vectors(bench)
    driver = bench.driver
    bench.agree()
    driver.put("queue_select", 0)
    for vector in (*range(min(bench.device.vectors, 4)), 0x7FF, NO_VECTOR):
        for register in ("config_msix_vector", "queue_msix_vector"):
            driver.put(register, vector)
            driver.get(register)


def _need_vectors(bench: Bench) -> None:
    if not bench.pci or bench.device.vectors < 2:
        raise NotOffered("there are no MSI-X vectors for every queue")


def without_vector(bench: Bench) -> None:
    """The queue has no vector, the configuration has one."""
    bench.probe()
    _need_vectors(bench)
    bench.agree()
    ring = bench.ring(0, vector=NO_VECTOR)
    bench.run()
    ring.supply()
    ring.kick()
    bench.until_used(ring)
    bench.listen(0.2)


def config_without_vector(bench: Bench) -> None:
    """The configuration has no vector, and changes."""
    bench.probe()
    _need_vectors(bench)
    bench.agree()
    bench.ring(0)
    bench.run(announce=False)
    if not bench.device.disturb():
        raise NotOffered("the configuration of this device can't be made to change here")
    bench.idle()


def interrupt_status(bench: Bench) -> None:
    """virtio-mmio: what InterruptStatus says stays until it is acknowledged, and no longer."""
    running(bench)
    driver = bench.driver
    ring = bench.rings[0]
    driver.get("interrupt_status")
    ring.supply()
    ring.kick()
    bench.until_used(ring)
    status = driver.get("interrupt_status")
    driver.get("interrupt_status")
    bench.device.interrupts(0)
    driver.put("interrupt_ack", status)
    if status & registers.USED:
        bench.feed(Called())
    bench.feed(Idle(True))
    driver.put("interrupt_ack", driver.get("interrupt_status"))
    driver.get("interrupt_status")


def disabled(bench: Bench) -> None:
    """virtio-mmio: QueueReady is 0, and a buffer is in place."""
    running(bench)
    request(bench)
    driver = bench.driver
    ring = bench.rings[0]
    driver.put("queue_select", 0)
    driver.put("queue_enable", 0)
    driver.get("queue_enable")
    bench.listen()
    ring.end("disable")
    ring.tempt()
    driver.kick(0)
    for _ in range(4):
        bench.listen(0.02)
        ring.watch()


def needs_reset(bench: Bench) -> None:
    """A chain that no driver makes: if the device gives up, it says so."""
    running(bench)
    ring = bench.rings[0]
    ring.spoil()
    bench.driver.kick(0)
    for _ in range(5):
        bench.listen(0.02)
        bench.driver.get("device_status")
    bench.quiet()

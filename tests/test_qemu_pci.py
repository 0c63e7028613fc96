"""QEMU's virtio-pci and virtio-mmio as found without a guest: configuration, interrupts, resets, and requests that are
laid out in guest memory by hand, byte for byte as the specification has them, and used by the real device."""

from __future__ import annotations

import time

import pytest

from fuzz.targets import QueueConfig, TargetError
from fuzz.targets.qemu.target import PROGRAM, make
from oracles import spec
from tests.qemu_kit import DISK, HERE, QEMUS

FEATURES = {spec.SPLIT: spec.VERSION_1 | spec.IN_ORDER, spec.PACKED: spec.VERSION_1 | spec.IN_ORDER | spec.RING_PACKED}
RINGS = "in_order=on,packed=on"
ENTROPY = {
    "pc": f"qemu:virtio-rng-pci,{RINGS}",
    "INTx": f"qemu:virtio-rng-pci,{RINGS},vectors=0",
    "q35": f"qemu:virtio-rng-pci,{RINGS}",
    "microvm": f"qemu:virtio-rng-device,{RINGS}",
}
BLOCK = f"qemu:virtio-blk-pci,drive=n0,queue_reset=on,{RINGS}"


@pytest.fixture(scope="module")
def targets():
    """Each kind is started once."""
    made = {}

    def get(kind, qemu):
        if (kind, qemu) not in made:
            target = made[kind, qemu] = (
                make(BLOCK, (qemu or PROGRAM) + DISK) if kind == "blk" else make(ENTROPY[kind], qemu)
            )
            if kind == "q35":
                target.machine.end()
                target.machine.behind.machine = "q35"
        return made[kind, qemu]

    yield get
    for target in made.values():
        target.close()


@pytest.fixture
def session(targets, request):
    """A session with the *kind* and *qemu* of the test."""
    found = targets(request.getfixturevalue("kind"), request.getfixturevalue("qemu")).open()
    found.memory[:END] = bytes(END)
    yield found
    found.close()


kinds = pytest.mark.parametrize("kind", ENTROPY)
qemus = pytest.mark.parametrize("qemu", QEMUS)
layouts = pytest.mark.parametrize("layout", spec.LAYOUTS)
block = pytest.mark.parametrize("kind", ["blk"])
here = pytest.mark.parametrize("qemu", QEMUS[:1])

TABLE, DRIVER, DEVICE, BUFFERS, END = 0x40, 0x1000, 0x2000, 0x4000, 0x10000


def config(layout, size=8):
    first = 0 if layout == spec.SPLIT else 1 << 15
    return QueueConfig(size, TABLE, DRIVER, DEVICE, first, first)


def put(session, at, words):
    """Store what is written as hexadecimal bytes; a word @N is the guest address of offset N, eight bytes."""
    for word in words.split():
        data = bytes.fromhex(word) if word[0] != "@" else (session.address + int(word[1:], 16)).to_bytes(8, "little")
        session.memory[at : at + len(data)] = data
        at += len(data)


def got(session, at, length):
    return bytes(session.memory[at : at + length]).hex()


def until(session, at, hexadecimal):
    """Wait until memory reads so."""
    deadline = time.monotonic() + 5
    length = len(hexadecimal) // 2
    while got(session, at, length) != hexadecimal and time.monotonic() < deadline:
        session.called(0, 0.0005)
    assert got(session, at, length) == hexadecimal


def supply(session, layout, lap):
    """One buffer of 16 bytes to write, laid out by hand, as number *lap* (0 or 1) on a fresh queue."""
    put(session, BUFFERS, "ee" * 16)
    if layout == spec.SPLIT:
        # 2.7.5: addr, len 16, flags WRITE, next. 2.7.6: idx, ring
        put(session, TABLE + 16 * lap, "@4000 10000000 0200 0000")
        put(session, DRIVER + 4 + 2 * lap, f"0{lap}00")
        put(session, DRIVER + 2, f"0{lap + 1}00")
    else:  # 2.8.13: addr, len 16, id 5, flags WRITE and AVAIL
        put(session, TABLE + 16 * lap, "@4000 10000000 0500 8200")
    session.notify(0)


def used(session, layout, lap):
    """See that it was, with all of its 16 bytes."""
    if layout == spec.SPLIT:  # 2.7.8: idx; id and len
        until(session, DEVICE + 2, f"0{lap + 1}00")
        assert got(session, DEVICE + 4 + 8 * lap, 8) == f"0{lap}000000" + "10000000"
    else:  # AVAIL and USED are both 1 in the first lap
        until(session, TABLE + 16 * lap + 15, "80")
        assert int(got(session, TABLE + 16 * lap + 14, 1), 16) & 0x80
        assert got(session, TABLE + 16 * lap + 8, 6) == "10000000" + "0500"
    assert got(session, BUFFERS, 16) != "ee" * 16


# --- what is found ----------------------------------------------------------------------------------------------------


@qemus
@kinds
def test_transports_are_found_and_told(targets, kind, qemu):
    offer = targets(kind, qemu).probe()
    wanted = spec.VERSION_1 | spec.IN_ORDER | spec.RING_PACKED | spec.INDIRECT_DESC | spec.EVENT_IDX | spec.RING_RESET
    assert offer.features & wanted == wanted
    assert offer.queues == 1
    details = dict(offer.details)
    assert details["interrupts"] == ("MSI-X, one for each queue" if kind in ("pc", "q35") else "one for all")
    assert all(spec.MAX_SIZE >= int(size) >= 8 for size in details["queue sizes"].split())
    machine = targets(kind, qemu).machine
    assert machine.transport.status() == 0
    assert machine.words() == ""  # no warning that could be taken for last words
    assert (f"-machine {kind}," in machine.facts()["command"]) == (kind != "INTx")


@qemus
@block
def test_configuration_space_and_queues(targets, kind, qemu):
    target = targets(kind, qemu)
    offer = target.probe()
    assert offer.config[:8].hex() == "0080000000000000"  # 5.2.4: capacity, of 512 bytes each
    assert offer.config[34:36].hex() == "0200"  # num_queues
    assert offer.queues == 2
    assert (target.limits.device, target.limits.queues) == ("blk", 2)
    assert target.limits.hints == (("capacity", 32768),)
    assert "queue_reset" in target.limits.actions
    assert target.probe() == offer


@here
def test_virtio_mmio_here_has_no_queue_reset(targets, qemu):
    target = targets("microvm", qemu)
    assert "queue_reset" not in target.limits.actions
    session = target.open()
    session.start(FEATURES[spec.SPLIT], [config(spec.SPLIT)])
    with pytest.raises(TargetError, match=r"^qemu:virtio-rng-device.*: this virtio-mmio has no queue reset$"):
        session.reset_queue(0)


# --- by hand ----------------------------------------------------------------------------------------------------------


@layouts
@qemus
@kinds
def test_a_request_laid_out_by_hand_is_used(session, kind, qemu, layout):
    session.start(FEATURES[layout], [config(layout)])
    assert session.shared == (kind in ("INTx", "microvm"))
    assert not session.called(0, 0)
    for lap in (0, 1):
        supply(session, layout, lap)
        used(session, layout, lap)


@layouts
@qemus
@block
def test_a_read_in_three_parts_laid_out_by_hand_is_used(session, kind, qemu, layout):
    """5.2.6: type IN, reserved, sector 9; 512 bytes of data, which are zeros; a status, which is OK."""
    session.start(FEATURES[layout], [config(layout, 4), QueueConfig(4, 0x8000, 0x9000, 0xA000)])
    put(session, BUFFERS, "00000000 00000000 0900000000000000")
    put(session, BUFFERS + 0x100, "ee" * 513 + " dd")
    if layout == spec.SPLIT:
        put(session, TABLE, "@4000 10000000 0100 0100")  # NEXT, to 1
        put(session, TABLE + 16, "@4100 00020000 0300 0200")  # NEXT and WRITE, to 2
        put(session, TABLE + 32, "@4300 01000000 0200 0000")  # WRITE
        put(session, DRIVER, "0000 0100 0000")
        session.notify(0)
        until(session, DEVICE, "0000 0100 00000000 01020000".replace(" ", ""))
    else:
        put(session, TABLE + 16, "@4100 00020000 0000 8300")
        put(session, TABLE + 32, "@4300 01000000 0700 8200")
        put(session, TABLE, "@4000 10000000 0000 8100")
        session.notify(0)
        until(session, TABLE + 15, "80")
        assert got(session, TABLE + 8, 6) == "01020000" + "0700"  # 513 bytes, and the id of the whole list
    assert got(session, BUFFERS + 0x100, 514) == "00" * 513 + "dd"


# --- interrupts -------------------------------------------------------------------------------------------------------


@layouts
@kinds
@here
def test_an_interrupt_comes_once_and_not_if_we_asked_for_none(session, kind, qemu, layout):
    session.start(FEATURES[layout], [config(layout)])
    supply(session, layout, 0)
    assert session.called(0, 1.0)
    assert not session.called(0, 0.01)
    # 2.7.6: NO_INTERRUPT; 2.8.14: desc, flags DISABLE
    put(session, DRIVER, "0100" if layout == spec.SPLIT else "0000 0100")
    supply(session, layout, 1)
    assert not session.called(0, 0.02)
    used(session, layout, 1)


@here
@block
def test_each_queue_has_an_interrupt_of_its_own(session, kind, qemu):
    idle = QueueConfig(4, 0x8000, 0x9000, 0xA000)
    session.start(FEATURES[spec.SPLIT], [idle, config(spec.SPLIT, 4)])
    put(session, TABLE, "@4000 10000000 0100 0100")
    put(session, TABLE + 16, "@4100 01000000 0200 0000")
    put(session, BUFFERS, "04000000 00000000 0000000000000000")  # FLUSH
    put(session, DRIVER, "0000 0100 0000")
    session.notify(1)
    assert session.called(1, 1.0)
    assert not session.called(0, 0)
    assert got(session, DEVICE, 12) == "00000100" + "00000000" + "01000000"


@here
@pytest.mark.parametrize("kind", ["pc", "INTx", "microvm"])
def test_an_interrupt_that_nobody_took_is_forgotten_by_the_next(targets, kind, qemu):
    target = targets(kind, qemu)
    starts = target.starts
    for again in (False, True, True, False):
        session = target.open()
        session.memory[:END] = bytes(END)
        session.start(FEATURES[spec.SPLIT], [config(spec.SPLIT)])
        assert not session.called(0, 0)
        supply(session, spec.SPLIT, 0)
        for _ in range(5):
            session._qtest.ping()
        if again:
            session.reset()
            session.memory[:END] = bytes(END)
            session.start(FEATURES[spec.SPLIT], [config(spec.SPLIT)])
            assert not session.called(0, 0.01)
        session.close()
    assert target.starts == starts


# --- resets -----------------------------------------------------------------------------------------------------------


@qemus
@pytest.mark.parametrize("kind", ["pc", "microvm"])
def test_a_device_reset_makes_it_new(session, kind, qemu):
    for layout in (spec.SPLIT, spec.PACKED, spec.SPLIT):
        session.memory[:END] = bytes(END)
        session.start(FEATURES[layout], [config(layout)])
        assert session._transport.status() == 0xF
        supply(session, layout, 0)
        used(session, layout, 0)
        session.reset()
        assert session._transport.status() == 0


@layouts
@qemus
@block
def test_a_queue_reset_may_change_its_size(session, kind, qemu, layout):
    session.start(FEATURES[layout] | spec.RING_RESET, [config(layout, 4), QueueConfig(4, 0x8000, 0x9000, 0xA000)])
    for size in (4, 16, 8, 256):
        put(session, BUFFERS, "04000000 00000000 0000000000000000")
        put(session, BUFFERS + 0x100, "ee")
        if layout == spec.SPLIT:
            put(session, TABLE, "@4000 10000000 0100 0100")
            put(session, TABLE + 16, "@4100 01000000 0200 0000")
            put(session, DRIVER, "0000 0100 0000")
            session.notify(0)
            until(session, DEVICE + 2, "0100")
        else:
            put(session, TABLE + 16, "@4100 01000000 0000 8200")
            put(session, TABLE, "@4000 10000000 0000 8100")
            session.notify(0)
            until(session, TABLE + 15, "80")
        assert got(session, BUFFERS + 0x100, 1) == "00"
        session.reset_queue(0)
        session.memory[TABLE:BUFFERS] = bytes(BUFFERS - TABLE)
        session.resume(0, config(layout, size))
        assert not session.called(0, 0)


@here
@pytest.mark.parametrize("kind", ["pc"])
def test_features_that_are_not_offered_are_named(session, kind, qemu):
    with pytest.raises(TargetError, match=r"^qemu:virtio-rng-pci,\S+: does not offer notification_data$"):
        session.start(FEATURES[spec.SPLIT] | spec.NOTIFICATION_DATA, [config(spec.SPLIT)])


@HERE
def test_features_that_the_device_refuses_are_named():
    """It wants ACCESS_PLATFORM, which we never negotiate."""
    target = make("qemu:virtio-rng-pci-non-transitional,iommu_platform=on")
    session = target.open()
    with pytest.raises(TargetError, match=r"refuses the features 0x100000000: FEATURES_OK does not stay$"):
        session.start(spec.VERSION_1, [config(spec.SPLIT)])
    session.close()
    target.close()

"""Cases of vhost-user rings: stopped, started, enabled, kicked, polled, reset, logged.

What a ring does not do is waited for only a moment: that proves nothing, and is no verdict. Knows the bench and
messages; must not know rules but by name.
"""

from __future__ import annotations

from fuzz.cases import NotOffered
from fuzz.cases.bench import MEMORY, PATIENCE, WATCH, Bench, Line, Undecided
from fuzz.cases.vhost_user import Talk
from fuzz.targets.vhost_user import protocol
from fuzz.targets.vhost_user.session import GUEST_ADDRESS, Events, SharedMemory
from oracles import vhost_user as vu
from oracles.trace import Activity, Idle, Logged


def _needs_bit30(bench: Bench) -> None:
    if not bench.frontend.has_protocol_features:
        raise NotOffered("rings can't be disabled without protocol features")


def _disk(bench: Bench, line: Line) -> bytes:
    """What stands in the sector that we write, by a read that must be served."""
    number = line.made
    bench.supply(line)
    bench.kick(line)
    if not bench.served(line, 1, 1.0):
        raise Undecided("a read of the disk isn't served")
    return bench.part(line, number, 512, 16)


def _remembers(bench: Bench) -> None:
    """Whether what is executed can be told: raises NotOffered for a disk that forgets, and a network without echo."""
    hints = dict(bench.target.limits.hints)
    if bench.kind == "blk" and hints.get("forgets"):
        raise NotOffered("nothing is kept on this disk (forgets=1), so what is executed can't be told")
    if bench.kind == "net" and not hints.get("echo"):
        raise NotOffered("no frame is known to come back here (echo=1), so what is executed can't be told")


def _attempt(bench: Bench, line: Line) -> tuple[int, int]:
    """Offer what must not be executed now, and watch. (the buffer's number, where in the log it came back or 0)."""
    if bench.kind == "net":
        source = bench.line(1)
        bench.supply(bench.line(0), 2)
        bench.kick(bench.line(0))
        bench.supply(source, 2)
        bench.kick(source)
        bench.watch(bench.line(0))
        bench.look(source)
        return -1, 0
    number = line.made
    bench.supply(line, write=True)
    bench.kick(line)
    before = len(bench.log)
    bench.watch(line)
    return number, before if len(bench.log) > before else 0


def _settle(bench: Bench, line: Line, number: int, at: int, before: bytes) -> None:
    """*line* is enabled now: of a disk, tell whether the request that came back at *at* was executed before."""
    if bench.kind != "blk" or not at or bench.part(line, number, 1, 528) != b"\0":
        return
    if _disk(bench, line) != before:
        bench.log.insert(at, (line.number, Activity("executed")))


def _begin(bench: Bench) -> bytes:
    """A disk that remembers is written with something new."""
    _remembers(bench)
    if bench.kind != "blk":
        return b""
    line = bench.up()
    before = _disk(bench, line)
    bench.salt = before[0] ^ 0x5A
    bench.stop(line)
    bench.forget()
    return before


def _subject(bench: Bench) -> Line:
    """The ring whose side effects can be told: of a network card, the one that receives."""
    return bench.line(0) if bench.kind == "net" else bench.line()


def _initially_stopped(bench: Bench) -> None:
    """Buffers wait in a ring that is set up, enabled, and not started."""
    bench.introduce()
    bench.share()
    line = bench.line()
    bench.others()
    bench.place(line)
    bench.frontend.send(protocol.number(vu.SET_VRING_CALL, line.number), [line.events.call])
    bench.frontend.settle()
    bench.silence(line)
    bench.supply(line, 2)
    bench.watch(line)


def _enabled_late(bench: Bench, before: bytes) -> None:
    """A ring is started with the others, filled, and enabled at last."""
    line = _subject(bench)
    for number in bench.queues:
        bench.start(bench.line(number), enable=number != line.number)
    bench.ready()
    number, at = _attempt(bench, line)
    bench.frontend.enable(line.number)
    bench.frontend.settle()
    bench.kick(line)
    bench.served(line, 1, 0.2)
    _settle(bench, line, number, at, before)


def _initially_disabled(bench: Bench) -> None:
    """A ring is started and not enabled."""
    before = _begin(bench)
    bench.introduce()
    _needs_bit30(bench)
    bench.share()
    _enabled_late(bench, before)


def _disabled(bench: Bench) -> None:
    """A ring that runs is disabled."""
    before = _begin(bench)
    bench.up()
    _needs_bit30(bench)
    line = _subject(bench)
    bench.frontend.enable(line.number, False)
    bench.frontend.settle()
    number, at = _attempt(bench, line)
    bench.frontend.enable(line.number)
    bench.frontend.settle()
    bench.kick(line)
    bench.served(line, 1, 0.2)
    _settle(bench, line, number, at, before)


def _remembered(bench: Bench) -> None:
    """A ring is disabled while it is stopped, and enabled while it is stopped."""
    before = _begin(bench)
    bench.up()
    _needs_bit30(bench)
    line = _subject(bench)
    bench.stop(line)
    bench.frontend.enable(line.number, False)
    bench.start(line, enable=False)
    bench.frontend.settle()
    number, at = _attempt(bench, line)
    bench.stop(line)
    bench.frontend.enable(line.number)
    bench.start(line, enable=False)
    bench.frontend.settle()
    bench.kick(line)
    if bench.kind != "net":
        if not line.came or line.came[-1] != number:
            bench.expect(line)
        _settle(bench, line, number, at, before)


def _old_style(bench: Bench) -> None:
    """SET_FEATURES without bit 30, and no ring is enabled by name."""
    bench.introduce()
    bench.share(bit30=False)
    line = bench.line()
    bench.others()
    bench.start(line)
    bench.ready()
    bench.supply(line)
    bench.kick(line)
    bench.expect(line)


def _started(bench: Bench) -> None:
    """Buffers wait, the ring is started, and one kick is injected."""
    bench.introduce()
    bench.share()
    line = bench.line()
    bench.others()
    bench.supply(line)
    bench.start(line)
    bench.ready()
    bench.expect(line)


def _unkicked(bench: Bench) -> None:
    """Buffers wait, the ring is started, and nobody kicks it; several times, for a slow machine may look the same."""
    bench.introduce()
    bench.share()
    line = bench.line()
    bench.others()
    first = 0
    for _ in range(1 if bench.certain else 3):
        if first:
            bench.stop(line)
        bench.supply(line)
        bench.start(line, inject=False)
        bench.ready()
        served = bench.served(line, 1, 0.15)
        first = first or len(bench.log)
        bench.inject(line)
        if served:
            return
        if not bench.certain and not bench.served(line, 1, 0.05):  # so it isn't just the kick that was missing
            raise Undecided("the ring isn't served at once when it is kicked")
    bench.log.insert(first, (line.number, Idle(True)))


def _on_the_fly(bench: Bench) -> None:
    """The call descriptor is replaced while the ring runs."""
    line = bench.up()
    bench.supply(line)
    bench.kick(line)
    bench.expect(line)
    new = Events()
    try:
        bench.frontend.send(protocol.number(vu.SET_VRING_CALL, line.number), [new.call])
        bench.frontend.settle()
        bench.silence(line)
        bench.supply(line)
        bench.kick(line)
        bench.expect(line)
        _stale(bench, line)
    finally:
        new.close()


def _stale(bench: Bench, line: Line) -> None:
    """Whether the call descriptor that no longer counts is signalled."""
    if not bench.certain:
        line.events.poll.poll(1000 * WATCH)
    if line.events.take(line.events.call):
        bench.log.append((line.number, Activity("stale")))


def _uncalled(bench: Bench) -> None:
    """The call descriptor is taken away: the driver polls."""
    line = bench.up()
    bench.frontend.send(protocol.number(vu.SET_VRING_CALL, line.number | vu.NO_FD))
    bench.frontend.settle()
    bench.silence(line)
    bench.supply(line)
    bench.kick(line)
    bench.expect(line)
    _stale(bench, line)


def _polled(bench: Bench) -> None:
    """The ring is started without a kick descriptor: the device polls."""
    bench.introduce()
    bench.share()
    line = bench.line()
    bench.others()
    bench.place(line)
    bench.frontend.send(protocol.number(vu.SET_VRING_CALL, line.number), [line.events.call])
    bench.frontend.send(protocol.number(vu.SET_VRING_KICK, line.number | vu.NO_FD))
    bench.frontend.enable(line.number)
    bench.ready()
    bench.supply(line)
    try:
        bench.expect(line)
    except Undecided:  # the document asks for it, and few back-ends do: that some wait expired accuses none of them
        raise NotOffered(f"a ring without a kick descriptor was not polled within {PATIENCE:g} s") from None


def _coalesced(bench: Bench) -> None:
    """Several buffers with one kick, and one buffer with the kick of many."""
    line = bench.up()
    bench.supply(line, 3)
    bench.kick(line)
    bench.expect(line, 3)
    bench.supply(line)
    bench.kick(line, 7)
    bench.expect(line)


def _stopped(bench: Bench) -> None:
    """A ring is stopped, and buffers and kicks come all the same."""
    line = bench.up()
    bench.supply(line)
    bench.kick(line)
    bench.expect(line)
    for number in bench.queues:
        bench.stop(bench.line(number))
    bench.silence(line)
    bench.supply(line)
    bench.kick(line)
    bench.watch(line)
    bench.frontend.number(vu.GET_FEATURES)


def _reset_device(bench: Bench) -> None:
    """RESET_DEVICE, then buffers; then the ring is started anew and not enabled."""
    before = _begin(bench)
    bench.introduce(needed=vu.RESET)
    bench.share()
    line = bench.line()
    bench.others()
    bench.start(line)
    bench.ready()
    bench.supply(line)
    bench.kick(line)
    bench.expect(line)
    bench.frontend.send(protocol.plain(vu.RESET_DEVICE))
    bench.frontend.settle()
    bench.silence(line)
    bench.supply(line)
    bench.kick(line)
    bench.watch(line)
    bench.forget()
    bench.share()
    _enabled_late(bench, before)


def _logged(bench: Bench) -> None:
    """Pages that buffers are written in, and what the log says of them."""
    if bench.kind == "net":
        _remembers(bench)
    frontend = bench.introduce(needed=vu.LOG_SHMFD)
    bench.share(vu.LOG_ALL)
    size = (GUEST_ADDRESS + MEMORY) // vu.LOG_PAGE // 8
    log = SharedMemory(size)
    try:
        frontend.insist(protocol.log_base(size), (0, 8, 16), [log.descriptor])
        line = _subject(bench)
        for number in bench.queues:
            bench.start(bench.line(number))
        bench.ready()
        number = line.made
        bench.supply(line, 2)
        bench.kick(line)
        if bench.kind == "net":
            source = bench.line(1)
            bench.supply(source, 2)
            bench.kick(source)
        if not bench.served(line, 2, 0.5):
            raise Undecided("no buffers come back while writes are logged")
        first = GUEST_ADDRESS // vu.LOG_PAGE // 8
        written = tuple(_written(bench, line, number + more) for more in range(2))
        data = bytes(log.view()[first : first + MEMORY // vu.LOG_PAGE // 8])
        bench.log.append((line.number, Logged(GUEST_ADDRESS, data, written)))
    finally:
        log.close()


def _written(bench: Bench, line: Line, number: int) -> tuple[int, int]:
    """Where the buffer *number*, which was cleared, is no longer: (guest address, bytes), or no bytes."""
    start = bench.place_of(line, number)
    skipped = 0 if bench.kind == "net" else 16
    data = bytes(bench.memory[start + skipped : start + skipped + 1024])
    changed = [place for place, byte in enumerate(data) if byte]
    return (
        (GUEST_ADDRESS + start + skipped + changed[0], changed[-1] - changed[0] + 1) if changed else (GUEST_ADDRESS, 0)
    )


TALKS = (
    Talk("stopped at first", ("VU-RING-INIT",), _initially_stopped),
    Talk("disabled at first", ("VU-RING-INIT",), _initially_disabled),
    Talk("disabled", ("VU-DISABLED",), _disabled),
    Talk("enabled while stopped", ("VU-ENABLE-TRACK",), _remembered),
    Talk("without bit 30", ("VU-SETFEAT-ENABLE",), _old_style),
    Talk("started", ("VU-START-KICKFD", "VU-ERRFD"), _started),
    Talk("started without a kick", ("VU-NO-RELY-KICK",), _unkicked),
    Talk("call replaced", ("VU-ONFLY",), _on_the_fly),
    Talk("call taken away", ("VU-KICK-NOFD",), _uncalled),
    Talk("polled", ("VU-KICK-NOFD",), _polled),
    Talk("kicks coalesce", ("VU-EVENTFD",), _coalesced),
    Talk("stopped", ("VU-BASE-STOP", "VU-SUSPENDED"), _stopped),
    Talk("device reset", ("VU-RESET-DEV",), _reset_device),
    Talk("dirty pages", ("VU-LOG",), _logged),
)

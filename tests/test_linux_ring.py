"""The kernel's virtio_ring.c as a driver under test: buffers go round, nobody is accused, and what breaks is told."""

from __future__ import annotations

import random
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from fuzz.targets import TargetDied, TargetError, TargetHung
from fuzz.targets.linux_ring import build, session, trees
from fuzz.targets.linux_ring.session import LinuxSession, Room
from fuzz.targets.linux_ring.target import LinuxRing, parse
from oracles import spec
from oracles.driver_oracle import judge_driver
from tests.conftest import missing
from tests.small_device import Device

VERSIONS = ("6.12", "7.2", "7.3")
LATEST = "7.3"
EVENTS = {"flags": 0, "event_idx": spec.EVENT_IDX}
TABLES = {"direct": 0, "indirect": spec.INDIRECT_DESC}
TREES = trees.installed()
BASE = spec.VERSION_1 | spec.RING_RESET

sources = [pytest.param(version, marks=pytest.mark.target(f"linux-source-{version}")) for version in VERSIONS]
needs_latest = pytest.mark.target(f"linux-source-{LATEST}")


@pytest.fixture(scope="module")
def targets() -> Iterator[dict[str, LinuxRing]]:
    made: dict[str, LinuxRing] = {}
    yield made
    for target in made.values():
        target.close()


@pytest.fixture
def opened(targets: dict[str, LinuxRing]):
    def open_(words: str) -> LinuxSession:
        target = targets.get(words)
        if target is None:
            target = targets[words] = parse(f"linux-ring:{words}")
        return target.open()

    return open_


def features(layout: str, in_order: bool, more: int = 0) -> int:
    return BASE | more | (spec.RING_PACKED if layout == spec.PACKED else 0) | (spec.IN_ORDER if in_order else 0)


def churn(device: Device, seed: int, steps: int) -> dict[str, int]:
    """Use *device*'s driver in every way for so many steps; what happened how often. All comes back in the end."""
    draw = random.Random(seed)
    driver = device.session
    in_order = bool(device.features & spec.IN_ORDER)
    seen = dict.fromkeys(("full", "added", "batched", "silent", "notified", "calls", "got"), 0)
    expected: dict[int, int | None] = {}  # length by token; None: skipped in a batch, all that is writable
    writable: dict[int, int] = {}
    armed = driver.callbacks(True)
    for step in range(steps):
        for _ in range(draw.randint(0, device.size)):
            lengths = [draw.randint(1, 5000) for _ in range(min(draw.choice((1, 1, 2, 3, 5)), device.size))]
            cut = draw.randint(0, len(lengths))
            token = device.add(tuple(lengths[:cut]), tuple(lengths[cut:]))
            if token is None:
                seen["full"] += 1
                break
            writable[token] = sum(lengths[cut:])
            seen["added"] += 1
        device.ring.silence() if draw.random() < 0.3 else device.ring.arm()
        seen["notified" if device.kick() else "silent"] += 1
        while device.fetched and (draw.random() < 0.7 or step == steps - 1):
            waiting = list(device.fetched)
            tokens = waiting[: draw.randint(1, len(waiting))] if in_order else [draw.choice(waiting)]
            seen["batched"] += len(tokens) > 1
            length = draw.randint(0, writable[tokens[-1]])
            expected |= {token: writable[token] for token in tokens[:-1]} | {tokens[-1]: length}
            calls = device.use(tokens, length)
            assert calls or not armed, "the driver sleeps, and nobody may wake it"
            armed = False
            if calls:
                seen["calls"] += driver.interrupt()
        if draw.random() < 0.8 or step == steps - 1:
            for token, length in device.get():
                assert length == expected.pop(token)
                del writable[token]
                seen["got"] += 1
        modes: tuple[bool | Literal["delayed"], ...] = (True, False, "delayed")
        mode = draw.choice(modes)
        nothing = driver.callbacks(mode)
        assert nothing or expected, "nothing is pending, and the driver says that something is"
        armed = mode is True and nothing
        device.look()
    assert not expected
    return seen


# --- buffers go round -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tables", TABLES)
@pytest.mark.parametrize("events", EVENTS)
@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("layout", spec.LAYOUTS)
@pytest.mark.parametrize("version", sources)
def test_buffers_go_round_and_nobody_is_accused(opened, version, layout, in_order, events, tables) -> None:
    driver = opened(version)
    for size in (4, 16) if layout == spec.SPLIT else (5, 16):
        driver.start(features(layout, in_order, EVENTS[events] | TABLES[tables]), size)
        device = Device(driver)
        seen = churn(device, size, 60)
        assert seen["added"] > 3 * size, "the ring wraps"
        assert seen["got"] == seen["added"]
        assert min(seen["full"], seen["silent"], seen["notified"], seen["calls"]) > 0, seen
        assert bool(seen["batched"]) == bool(device.features & spec.IN_ORDER), seen
        assert judge_driver(device.trace) == (None, [])
        assert not driver.broken()
        assert driver.reset() == []
    assert driver.words() == ""


@pytest.mark.parametrize(("layout", "size"), [(spec.SPLIT, 1), (spec.PACKED, 1), (spec.PACKED, 3), (spec.PACKED, 256)])
@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("version", sources)
def test_queues_of_any_size(opened, version, layout, size, in_order) -> None:
    driver = opened(version)
    driver.start(features(layout, in_order, spec.EVENT_IDX), size)
    assert driver.queue.size == size
    device = Device(driver)
    for _ in range(2 if size > 8 else 2 * size + 3):
        tokens = []
        while (token := device.add((8,), ())) is not None:
            tokens.append(token)
        assert len(tokens) == size
        device.kick()
        for token in tokens:
            device.use([token], 0)
        assert device.get() == [(token, 0) for token in tokens]
    assert judge_driver(device.trace) == (None, [])


@pytest.mark.parametrize("layout", spec.LAYOUTS)
@pytest.mark.parametrize("version", sources)
def test_a_batch_is_one_used_buffer_for_several(opened, version, layout) -> None:
    driver = opened(version)
    accepted = driver.start(features(layout, True), 8)
    assert bool(accepted & spec.IN_ORDER) == (version != "6.12"), "6.12 knows no IN_ORDER and drops it"
    if not accepted & spec.IN_ORDER:
        return
    device = Device(driver)
    tokens = [device.add((4,), (10 + index, 20)) for index in range(2)]
    device.kick()
    assert device.use([token for token in tokens if token is not None], 7)
    assert driver.interrupt()
    assert device.get() == [(tokens[0], 30), (tokens[1], 7)], "what a batch skips counts as completely written"
    assert judge_driver(device.trace) == (None, [])


@pytest.mark.parametrize("layout", spec.LAYOUTS)
def test_a_driver_that_gives_up_says_so(opened, layout) -> None:
    if reason := missing(f"linux-source-{LATEST}"):
        pytest.skip(reason)
    driver = opened(LATEST)
    driver.start(features(layout, False), 8)
    device = Device(driver)
    token = device.add((4,), (10,))
    assert token is not None
    device.kick()
    device.fetched[token].id = 7  # nobody's
    device.use([token], 1)
    assert driver.get() is None
    assert driver.broken()
    assert "id 7 is not a head" in driver.words()
    assert driver.words() == "", "what was said once"
    assert device.add((4,), ()) is None
    assert driver.reset() == [token]


# --- resets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("layout", spec.LAYOUTS)
@pytest.mark.parametrize("version", sources)
def test_a_queue_that_is_reset_goes_on_anew(opened, version, layout, in_order) -> None:
    driver = opened(version)
    driver.start(features(layout, in_order, spec.EVENT_IDX | spec.INDIRECT_DESC), 16)
    device = Device(driver)
    ordered = bool(device.features & spec.IN_ORDER)
    churn(device, 3, 20)
    for size in (8, 16, 4) if ordered else (0, 8, 4, 0, 16):  # see below
        tokens = [device.add((1, 2), (3,)), device.add((4,), ()), device.add((), (5, 6))]
        device.kick()
        if ordered:  # in the middle of a batch
            device.use(list(device.fetched)[:2], 3)
            assert driver.get() == (tokens.pop(0), 3)
        was = driver.queue.size
        assert device.reset_queue(size) == tokens
        assert driver.queue.size == (size or was)
        churn(device, size, 20)
    assert judge_driver(device.trace) == (None, [])
    assert driver.words() == ""


@pytest.mark.parametrize("version", sources)
def test_what_a_reset_in_order_leaves_behind_is_seen(opened, version) -> None:
    """7.2.13 and 7.3.4: the first chain after a reset stands where the last one before it ended, not at 0 (2.7.5)."""
    driver = opened(version)
    driver.start(features(spec.SPLIT, True), 8)
    if not driver.features & spec.IN_ORDER:
        return
    device = Device(driver)
    first = device.add((), (4,))
    device.kick()
    assert first is not None
    device.use([first], 4)
    assert device.get() == [(first, 4)]
    assert device.reset_queue() == []
    second = device.add((), (4,))
    device.kick()
    found, _ = judge_driver(device.trace)
    if found is not None:  # a later one may have mended it
        assert found.rule == "INO-S-AVAIL-HEADS"
        assert second is not None
        device.use([second], 4)
        assert device.get() == []
        assert driver.broken()
        assert "is not a head" in driver.words()


@needs_latest
def test_a_reset_of_the_device_gives_back_what_is_outstanding(opened) -> None:
    driver = opened(LATEST)
    for layout in spec.LAYOUTS:
        driver.start(features(layout, True, spec.INDIRECT_DESC), 8)
        device = Device(driver)
        first = device.add((1,), (2, 3))
        tokens = [device.add((4,), ()), device.add((5,), (6,))]
        device.kick()
        assert first is not None
        device.use([first], 1)
        assert device.get() == [(first, 1)]
        assert driver.reset() == tokens
        assert driver.reset() == []
    assert driver.words() == "", "no allocation is left"
    with pytest.raises(RuntimeError, match="not started"):
        driver.kick()


@needs_latest
def test_the_same_calls_leave_the_same_trace(opened) -> None:
    traces = []
    for _ in range(2):
        driver = opened(LATEST)
        driver.start(features(spec.PACKED, True, spec.EVENT_IDX | spec.INDIRECT_DESC), 7)
        device = Device(driver)
        churn(device, 5, 40)
        traces.append(device.trace)
    assert traces[0] == traces[1]


@needs_latest
def test_without_memory_for_a_table_descriptors_are_used(opened) -> None:
    driver = opened(LATEST)
    driver.start(features(spec.SPLIT, False, spec.INDIRECT_DESC), 8)
    driver.starve(1)
    assert driver.add((4, 4), (4,)) is not None
    flags = [driver.memory[driver.queue.descriptor + 16 * slot + 12] for slot in range(4)]
    assert flags == [spec.DESC_F_NEXT, spec.DESC_F_NEXT, spec.DESC_F_WRITE, 0]


# --- what breaks is told ----------------------------------------------------------------------------------------------

KICK = "return VIRTQUEUE_CALL(vq, kick_prepare);"
FATAL = {
    "BUG_ON": ("plain", "BUG_ON(vq->num_added);", "killed by SIGABRT; it said: .*virtio_ring.c.*Assertion .*num_added"),
    "fault": ("plain", "*(volatile int *)8 = 0;", "killed by SIGSEGV; it said: linux-ring: .* at address 0x8 in kick"),
    "overflow": (
        "sanitized",
        "((volatile char *)vq)[sizeof(*vq) + 4] = 1;",
        "it said: ERROR: AddressSanitizer: heap-buffer-overflow",
    ),
    "table": (
        "sanitized",
        "((volatile char *)vq->split.desc_state[0].indir_desc)[-8] = 1;",
        "it said: ERROR: AddressSanitizer: use-after-poison",
    ),
    "undefined": ("sanitized", "volatile int by = 40; vq->num_added = 1 << by;", "it said: .*runtime error: shift"),
}


def planted(tmp_path: Path, old: str, new: str) -> Path:
    """A tree whose driver differs in one place."""
    tree = tmp_path / "tree"
    shutil.copytree(TREES[LATEST], tree, symlinks=True)
    driver = tree / trees.DRIVER
    text = driver.read_text(encoding="utf-8")
    assert text.count(old) == 1
    driver.write_text(text.replace(old, new), encoding="utf-8")
    return tree


@needs_latest
@pytest.mark.parametrize("kind", FATAL)
def test_a_crash_ends_the_driver_and_not_us(tmp_path, monkeypatch, kind) -> None:
    monkeypatch.setattr(build, "cache", lambda: tmp_path / "cache")
    name, code, words = FATAL[kind]
    target = LinuxRing("linux-ring:planted", str(planted(tmp_path, KICK, f"{code} {KICK}")), name)
    try:
        for start in (1, 2):
            driver = target.open()
            assert target.starts == start
            driver.start(features(spec.SPLIT, False, spec.INDIRECT_DESC), 8)
            driver.add((4,), (4,))
            with pytest.raises(TargetDied, match=words):
                driver.kick()
            with pytest.raises(TargetDied):
                driver.get()
    finally:
        target.close()


@needs_latest
def test_an_endless_loop_is_ended(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(build, "cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(session, "SPINNING", 0.3)
    tree = planted(tmp_path, KICK, 'for (;;) asm volatile("");')
    target = LinuxRing("linux-ring:planted", str(tree))
    try:
        for start in (1, 2):
            driver = target.open()
            assert target.starts == start
            driver.start(features(spec.SPLIT, False), 8)
            driver.add((4,), ())
            with pytest.raises(TargetHung, match="does not come back from kick"):
                driver.kick()
    finally:
        target.close()


WRONG = {
    "S-AN-DRV-MUST": (spec.SPLIT, KICK, "return false;"),
    "P-EV-ENABLE-DRV": (spec.PACKED, KICK, "return false;"),
    "INO-SKIP-LEN": (
        spec.SPLIT,
        "*len = vq->split.desc_state[last_used].total_in_len;",
        "*len = vq->batch_last.len;",
    ),
}


@needs_latest
@pytest.mark.parametrize("rule", WRONG)
def test_a_driver_that_breaks_a_rule_is_accused_of_it(tmp_path, monkeypatch, rule) -> None:
    monkeypatch.setattr(build, "cache", lambda: tmp_path / "cache")
    layout, old, new = WRONG[rule]
    target = LinuxRing("linux-ring:planted", str(planted(tmp_path, old, new)))
    try:
        driver = target.open()
        driver.start(features(layout, True), 8)
        device = Device(driver)
        tokens = [device.add((), (10 + index,)) for index in range(3)]
        device.kick()
        device.use([token for token in tokens if token is not None], 5)
        device.get()
        found, _ = judge_driver(device.trace)
        assert found is not None
        assert found.rule == rule
    finally:
        target.close()


# --- builds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [build.SANITIZED, build.COVERAGE])
@pytest.mark.parametrize("version", sources)
def test_other_builds_do_the_same(opened, version, name) -> None:
    plain = opened(version)
    other = opened(f"{version},build={name}")
    traces = []
    for driver in (plain, other):
        driver.start(features(spec.PACKED, True, spec.EVENT_IDX | spec.INDIRECT_DESC), 8)
        device = Device(driver)
        churn(device, 1, 40)
        traces.append(device.trace)
        assert driver.words() == ""
    assert traces[0] == traces[1]


@needs_latest
def test_a_coverage_build_counts_places(opened) -> None:
    driver = opened(f"{LATEST},build=coverage")
    counters = driver.counters
    assert counters is not None
    counters[:] = bytes(len(counters))

    def reached() -> int:
        return len(counters) - bytes(counters).count(0)

    driver.start(features(spec.SPLIT, False), 8)
    started = reached()
    assert started > 10
    churn(Device(driver), 1, 10)
    churned = reached()
    assert churned > started
    driver.reset()
    driver.start(features(spec.SPLIT, True), 8)
    churn(Device(driver), 1, 10)
    assert reached() > churned, "in order is code of its own"
    assert opened(LATEST).counters is None


@needs_latest
def test_a_program_is_compiled_once(monkeypatch) -> None:
    tree = trees.find(LATEST)
    program = build.built(tree, build.PLAIN)
    monkeypatch.setattr(build, "_compile", lambda *_: pytest.fail("it was compiled again"))
    assert build.built(tree, build.PLAIN) == program


@needs_latest
def test_probing_tells_features_and_version(targets) -> None:
    for version in VERSIONS:
        if not missing(f"linux-source-{version}"):
            target = targets.setdefault(version, parse(f"linux-ring:{version}"))
            offer = target.probe()
            names = spec.feature_names(offer.features)
            assert ("in_order" in names) == (version != "6.12")
            assert {"indirect_desc", "event_idx", "version_1", "packed", "ring_reset"} <= set(names)
            assert offer.facts()["version"].startswith(f"Linux {version}.")


@needs_latest
def test_a_tarball_will_do(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(trees, "cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(build, "cache", lambda: tmp_path / "cache")
    whole = tmp_path / "linux.tar.xz"
    with tarfile.open(whole, "w:xz") as archive:
        archive.add(TREES[LATEST], "linux-source-x")
    tree = trees.find(str(whole))
    assert (tree / trees.DRIVER).read_bytes() == (TREES[LATEST] / trees.DRIVER).read_bytes()
    assert build.built(tree, build.PLAIN).exists()
    whole.write_bytes(whole.read_bytes()[:100000])
    with pytest.raises(TargetError, match=r"linux.tar.xz can't be unpacked into .*end of data"):
        trees.find(str(whole))


# --- what a user may get wrong ----------------------------------------------------------------------------------------


@needs_latest
def test_without_a_compiler_one_line_says_so(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(TargetError, match=r"no C compiler .* install gcc, or set CC"):
        LinuxRing("linux-ring", LATEST).open()
    monkeypatch.setenv("CC", "mycc -m32")
    with pytest.raises(TargetError, match="mycc that CC names is not installed"):
        LinuxRing("linux-ring", LATEST).open()


@needs_latest
def test_a_driver_that_does_not_compile_is_one_line(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(build, "cache", lambda: tmp_path / "cache")
    tree = planted(tmp_path, KICK, "return undeclared;")
    with pytest.raises(TargetError, match=r"^\S+ can't compile the driver: .*error: .undeclared. undeclared[^\n]*$"):
        LinuxRing("linux-ring", str(tree)).open()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()], "nothing half done is left"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("linux-ring:", "no Linux source '': name a tree, a tarball, or one installed by make targets"),
        ("linux-ring:/nowhere", "no Linux source '/nowhere'"),
        ("linux-ring:{folder}", "has no drivers/virtio/virtio_ring.c: name an unpacked Linux source tree"),
        ("linux-ring:6.12,build=fast", "no option 'build=fast': build= one of plain, sanitized, coverage"),
        ("linux-ring:6.12,speed=1", "no option 'speed=1'"),
    ],
)
def test_a_source_that_is_none_is_one_line(tmp_path, words, message) -> None:
    with pytest.raises(TargetError) as caught:
        parse(words.format(folder=tmp_path)).open()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_room_is_used_again_and_ends() -> None:
    room = Room(64, 512)
    first, second, third = room.take(1), room.take(65), room.take(200)
    assert (first, second, third) == (64, 128, 256)
    assert room.take(1) is None
    room.give(128, 65)
    assert room.take(64) is None, "pieces are not cut"
    assert room.take(128) == 128
    room.give(64, 0)
    assert room.take(0) == 64

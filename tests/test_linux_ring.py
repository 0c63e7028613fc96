"""The kernel's virtio_ring.c as a driver under test: buffers go round, nobody is accused, and what breaks is told."""

from __future__ import annotations

import pytest

from fuzz.targets import TargetDied, TargetHung
from fuzz.targets.linux_ring import build, session
from fuzz.targets.linux_ring.target import LinuxRing
from oracles import spec
from oracles.driver_oracle import judge_driver
from tests.conftest import missing
from tests.linux_kit import EVENTS, KICK, LATEST, TABLES, churn, features, needs_latest, planted, sources
from tests.small_device import Device

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
        assert found.rule == "INO-S-DESC-SEQ"
        assert second is not None
        device.use([second], 4)
        assert device.get() == []
        assert driver.broken()
        assert "is not a head" in driver.words()


@pytest.mark.parametrize("version", sources)
def test_what_a_reset_in_a_batch_leaves_behind_is_seen(opened, version) -> None:
    """7.2.13 and 7.3.4: the batch goes on, so the next buffer counts as skipped in it, and then nothing fits."""
    driver = opened(version)
    driver.start(features(spec.PACKED, True), 8)
    if not driver.features & spec.IN_ORDER:
        return
    device = Device(driver)
    first, second = (device.add((), (length,)) for length in (4, 5))
    device.kick()
    device.use([token for token in (first, second) if token is not None], 5)
    assert driver.get() == (first, 4)
    assert device.reset_queue() == [second]
    third = device.add((), (100,))
    device.kick()
    assert third is not None
    device.use([third], 7)
    if driver.get() == (third, 7):  # a later one may have mended it
        assert not driver.broken()
    else:
        assert driver.get() is None
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

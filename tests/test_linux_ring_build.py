"""From a source tree to a program: builds that do the same, what may name a tree, and what a user may get wrong."""

from __future__ import annotations

import tarfile

import pytest

from fuzz.targets import TargetError
from fuzz.targets.driver import DriverTarget
from fuzz.targets.linux_ring import build, trees
from fuzz.targets.linux_ring.session import Room
from fuzz.targets.linux_ring.target import LinuxRing, parse
from oracles import spec
from tests.conftest import missing
from tests.linux_kit import KICK, LATEST, TREES, VERSIONS, churn, features, needs_latest, planted, sources
from tests.small_device import Device

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
def test_probing_tells_features_and_version(linux_rings) -> None:
    for version in VERSIONS:
        if not missing(f"linux-source-{version}"):
            target = linux_rings.setdefault(version, parse(f"linux-ring:{version}"))
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


def test_what_is_opened_can_be_played_a_device_to() -> None:
    target: DriverTarget = parse("linux-ring:/nowhere,build=coverage")
    assert (target.name, target.role, target.starts) == ("linux-ring:/nowhere,build=coverage", "driver", 0)
    target.restart()
    target.close()
    assert target.words() == ""


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

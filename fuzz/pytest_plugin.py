"""vqfuzz in pytest: ``pytest --vq-target=exec:'…'`` checks a target, a test item for each rule and layout.

And tests of a suite's own run programs: ``@program("file.vq")`` above a test, or the fixture ``vq_target``. Knows
pytest, and results. pytest loads it in every run where vqfuzz is installed, so that it imports nothing else of
ours before it is asked for something.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import pytest

if TYPE_CHECKING:
    from fuzz.baseline import Expected
    from fuzz.judging import Against
    from fuzz.program import Program
    from fuzz.results import Result

_NEEDING = {"vq_qemu": "--vq-qemu", "vq_baseline": "--vq-baseline", "vq_strict": "--vq-strict", "vq_spec": "--vq-spec",
            "vq_select": "--vq-select"}  # fmt: skip
_MODEL = "model"

program = pytest.mark.vq_program
"""``@program("file.vq", …)``: before the test's body the programs are run on --vq-target, and must conform.

Paths are relative to the file of the test. Without --vq-target the reference device is the target.
"""


class Item(Protocol):
    """What is to be checked: one rule on one layout."""

    @property
    def name(self) -> str:
        """Unique, such as INO-ORDER/split."""
        ...

    @property
    def rule(self) -> str:
        """The rule that is looked at."""
        ...

    @property
    def layout(self) -> str:
        """split, packed or ''."""
        ...

    def run(self) -> Result:
        """Look. Raises TargetError if the target can't be used."""
        ...


class NonconformingError(Exception):
    """A target broke a rule. ``str()`` is the report."""


# --- options ----------------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, named as those of ``vqfuzz check``."""
    group = parser.getgroup("vqfuzz", "conformance of a VIRTIO device (vqfuzz)")
    group.addoption("--vq-target", metavar="TARGET", help="Check TARGET, such as exec:'./my-backend {socket}'.")
    group.addoption("--vq-qemu", metavar="COMMAND", default="", help="What starts the QEMU of qemu:DEVICE.")
    group.addoption("--vq-baseline", metavar="FILE", help="What is known to fail, and accepted: xfail(strict).")
    group.addoption("--vq-strict", action="store_true", help="A SHOULD fails, too.")
    group.addoption("--vq-spec", metavar="VERSION", help="Judge by this version of VIRTIO.  [1.4]")
    group.addoption("--vq-select", metavar="WHAT", action="append", default=[],
                    help="Only these rules or sections, such as INO or 2.7.9; may be repeated.")  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Name the markers; refuse options that would do nothing."""
    config.addinivalue_line("markers", "vqfuzz: a check of --vq-target by vqfuzz; -m 'not vqfuzz' leaves them out")
    config.addinivalue_line("markers", "vq_program(path, ...): these programs are run on --vq-target and must conform")
    if config.getoption("vq_target") is None:
        for name, option in _NEEDING.items():
            if config.getoption(name):
                raise pytest.UsageError(f"{option} needs --vq-target")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End the target of the suite's own tests, if it was used."""
    against = config.stash.get(_AGAINST, None)
    if against is not None:
        against.close()
    suite = config.stash.get(_SUITE, None)
    if suite is not None:
        suite.close()


_AGAINST = pytest.StashKey["Against"]()
_SUITE = pytest.StashKey[Any]()
_BASELINE = pytest.StashKey["list[Expected]"]()


def _option(config: pytest.Config, name: str) -> str:
    return cast("str", config.getoption(name) or "")


def _version(config: pytest.Config) -> str:
    from oracles import spec

    version = _option(config, "vq_spec") or spec.VERSIONS[-1]
    if version not in spec.VERSIONS:
        raise pytest.UsageError(f"--vq-spec: there is no VIRTIO {version}; there are {', '.join(spec.VERSIONS)}")
    return version


def _baseline(config: pytest.Config) -> list[Expected]:
    """The entries of --vq-baseline, read once. Raises UsageTrouble."""
    if _BASELINE not in config.stash:
        from fuzz import baseline

        path = _option(config, "vq_baseline")
        config.stash[_BASELINE] = baseline.load(config.invocation_params.dir / path) if path else []
    return config.stash[_BASELINE]


# --- a target's items -------------------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)  # so that -k, -m and --lf choose among them, too
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the checks of --vq-target before all other tests."""
    words = _option(config, "vq_target")
    if not words:
        return
    node = _Conformance.from_parent(session, name="vqfuzz", nodeid="vqfuzz")
    items[:0] = list(node.collect())


class _Conformance(pytest.Collector):
    """All checks of one target. Not found in a file, so put into the session by hand."""

    def collect(self) -> Iterable[pytest.Item]:
        """An item for each rule and layout. Raises UsageError: one line."""
        from fuzz.targets import TargetError
        from fuzz.trouble import EnvironmentTrouble, UsageTrouble

        config = self.config
        try:
            _baseline(config)
            found = _items(config)
            made = [_Check.from_parent(self, name=one.name, check=one) for one in found]
        except (UsageTrouble, EnvironmentTrouble, TargetError) as error:
            raise pytest.UsageError(f"vqfuzz: {error}") from None
        if not made:
            raise pytest.UsageError("vqfuzz: --vq-select chooses no rule")
        return made


def _items(config: pytest.Config) -> Iterable[Item]:
    """The deterministic checks, as ``vqfuzz check`` makes them."""
    from importlib import import_module

    suite = import_module("fuzz.check").Suite(
        _option(config, "vq_target"), _option(config, "vq_qemu"), config.getoption("vq_select"), _version(config),
        bool(config.getoption("vq_strict")),
    )  # fmt: skip
    config.stash[_SUITE] = suite
    found: Iterable[Item] = suite.items
    return found


class _Check(pytest.Item):
    """One rule on one layout."""

    def __init__(self, *, check: Item, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.check = check
        self.add_marker(pytest.mark.vqfuzz)
        if self.config.pluginmanager.hasplugin("xdist"):  # with --dist loadgroup one worker has the target for itself
            self.add_marker(pytest.mark.xdist_group("vqfuzz"))
        self.user_properties += [("rule", check.rule), ("layout", check.layout)]

    def runtest(self) -> None:
        """Look, and end as what came of it."""
        from fuzz.targets import TargetError

        try:
            result = self.check.run()
        except TargetError as error:
            raise NonconformingError(f"the target can't be used: {error}") from None
        _end(self.config, result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The report alone: where vqfuzz noticed it is nobody's business."""
        if isinstance(excinfo.value, (NonconformingError, pytest.xfail.Exception)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Not in any file."""
        return self.session.path / "vqfuzz", None, self.name


def _end(config: pytest.Config, result: Result) -> None:
    """Raise what pytest makes an outcome of; return if it passes."""
    from datetime import date

    from fuzz import baseline
    from fuzz.report import kinds
    from fuzz.results import NOT_OFFERED, UNDECIDED, Run

    run = Run(_option(config, "vq_target") or _MODEL, "", results=[result])
    result = baseline.apply(run, _baseline(config), date.today()).results[0]
    if result.status == NOT_OFFERED:
        pytest.skip(f"not offered: {result.message}")
    if result.status == UNDECIDED:  # neither passed nor failed: a wait that expired accuses nobody
        pytest.skip(f"undecided: {result.message}")
    if kinds.accepted(result) and not config.getoption("runxfail"):
        raise pytest.xfail.Exception(f"{result.rule} is accepted: {result.known}")
    if kinds.fails(result) or kinds.accepted(result):
        raise NonconformingError(result.report.rstrip() or f"{result.rule}: {kinds.sentence(result)}")


# --- a suite's own programs -------------------------------------------------------------------------------------------


class Device:
    """The target of a suite's own tests: that of --vq-target, else the reference device."""

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self._config = config
        self._folder = folder  # of the test

    @property
    def words(self) -> str:
        """The target as typed."""
        return _option(self._config, "vq_target") or _MODEL

    def conforms(self, program: Program | Path | str) -> Result:
        """Run *program*, or the one in a file or a find's folder; returns what came of it, if it conforms.

        Paths are relative to the file of the test.
        Else the test fails with the report, or is skipped: what it needs is not offered, or it stays undecided.
        """
        from fuzz.targets import TargetError
        from fuzz.trouble import EnvironmentTrouble, UsageTrouble

        try:
            chosen = self._folder / program if isinstance(program, (str, Path)) else program
            result = self._against().judge(chosen)
            _end(self._config, result)
        except NonconformingError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        except (UsageTrouble, EnvironmentTrouble, TargetError) as error:
            raise pytest.fail.Exception(f"vqfuzz: {error}", pytrace=False) from None
        return result

    def _against(self) -> Against:
        config = self._config
        if _AGAINST not in config.stash:
            from fuzz.judging import Against

            strict = bool(config.getoption("vq_strict"))
            config.stash[_AGAINST] = Against(self.words, _option(config, "vq_qemu"), _version(config), strict)
        return config.stash[_AGAINST]


@pytest.fixture
def vq_target(request: pytest.FixtureRequest) -> Device:
    """The target of --vq-target, or the reference device: ``vq_target.conforms(program)``."""
    return Device(request.config, request.path.parent)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Before the body of a test with ``@program(…)``, its programs."""
    for marker in pyfuncitem.iter_markers("vq_program"):
        if not marker.args or marker.kwargs:
            pytest.fail('write the paths of programs: @program("file.vq")', pytrace=False)
        for path in marker.args:
            Device(pyfuncitem.config, pyfuncitem.path.parent).conforms(path)
    return (yield)

"""Targets behind a vhost-user socket: somebody's socket, a command line, or a preset.

Knows how each is reached, kept running and asked what it offers. Must not know programs or verdicts.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import time
from dataclasses import replace
from difflib import get_close_matches

from fuzz.program import Limits
from fuzz.targets import Offer, TargetDied, TargetError, TargetHung, TargetMisspoke
from fuzz.targets.counters import Counters
from fuzz.targets.presets import PRESETS, Preset
from fuzz.targets.process import NOT_YET, Process, connect, first_line, split_command
from fuzz.targets.vhost_user import classes, protocol
from fuzz.targets.vhost_user.counting import Counting
from fuzz.targets.vhost_user.frontend import Closed, ConversationError, Frontend
from fuzz.targets.vhost_user.session import SharedMemory, VhostUserSession
from oracles import spec

MEMORY = 1 << 21  # bytes shared with the device: buffers of 1 MiB and the rings
_SHORT_BREATH = 0.02  # seconds to wait for the end of a process whose connection was expected to break
#: Statuses of who ends by itself, in order: 101 is a Rust panic, those from 126 on a shell's.
_OF_ITSELF = re.compile(r"exit status (?!101$)(?:\d{1,2}|1[01]\d|12[0-5])")
_GENERIC = re.compile(r"(exec|vhost-user)(?:\[([^]]*)\])?:(.*)", re.DOTALL)


class VhostUser:
    """A back-end: at *path* if it is somebody else's, or a *process* of ours. Implements Target and Backend."""

    role = "device"
    certain = False  # what it will do, nobody knows

    def __init__(self, name: str, limits: Limits, process: Process | None = None, path: str = "") -> None:
        self.name = name
        self.limits = limits
        self.device_features = classes.CLASSES.get(limits.device, (0, 0))[1]
        self.reset_by = "reconnect"
        self.stop_spreads = False
        self.preset: Preset | None = None
        self.seconds = 5.0  # for a reply
        self._process = process
        self._path = path
        self._memory: SharedMemory | None = None
        self._session: VhostUserSession | None = None
        self._last: VhostUserSession | None = None
        self._served = False  # a session, since the process was started
        self._connected = False  # ever
        self._offer: Offer | None = None
        self._untold = ""  # how a process ended, if another had to be started for a connection
        self._spared = False  # the session that is open may end in any way
        self._counting = Counting()
        self._provoked = False  # by hostile input, in the session that is open or was the last

    # --- what a session needs -----------------------------------------------------------------------------------------

    def connect(self) -> socket.socket:
        """A connection, to a process that is started if there is none."""
        process = self._process
        if process is None:
            return self._connect_to_path()
        if self._connected and self.preset is not None and self.preset.once:
            process.wait(1.0)  # it is about to end, and must not be taken for one that serves
        if not process.alive():
            if process.failed() and not self._in_order():
                self._untold = process.obituary()  # nobody saw it end: between two sessions, say
            process.start(*self._counting.given())
            self._served = False
        self._connected = True
        return process.connect(self.preset.patience if self.preset else 10.0)

    def frontend(self, connection: socket.socket, seconds: float, acknowledge: bool = True) -> Frontend:
        """Our end of a connection."""
        return Frontend(connection, seconds, acknowledge)

    def _connect_to_path(self) -> socket.socket:
        deadline = time.monotonic() + 1.0
        while True:
            try:
                return connect(self._path)
            except OSError as error:
                trouble = error
            absent = isinstance(trouble, (FileNotFoundError, ConnectionRefusedError))
            # Once served, somebody may be about to start it again; until then, nobody is there.
            if trouble.errno not in NOT_YET or (absent and not self._served) or time.monotonic() > deadline:
                break
            time.sleep(0.01)
        reason = "nobody listens there" if absent else (trouble.strerror or str(trouble)).lower()
        raise TargetError(f"{self.name} can't be reached: {reason}")

    def obituary(self, seconds: float) -> str:
        """How the process ended; '' if it runs on or isn't ours."""
        process = self._process
        if self._spared:
            seconds = min(seconds, _SHORT_BREATH)
        return process.obituary() if process is not None and process.wait(seconds) else ""

    def ended(self, well: bool) -> None:
        """A session is over."""
        self._session = None
        spared, self._spared = self._spared, False
        if well or spared:
            self._served = True
        if well:
            return
        process = self._process
        if process is not None and process.failed() and not self._in_order():
            self._untold = process.obituary()
        if process is not None and not spared:
            process.end(grace=0)
        if self._memory is not None:  # whoever still writes into it won't disturb the next session
            self._memory.close()
            self._memory = None

    # --- Target -------------------------------------------------------------------------------------------------------

    def open(self) -> VhostUserSession:
        """A session. Raises TargetError, and TargetDied if the process ended badly since the session before."""
        if self._session is not None:
            self._session.close()
        process = self._process
        if process is not None and process.failed():
            meant, line = self._in_order(), f"{self.name} ended after its last connection: {process.obituary()}"
            process.end()
            if not meant:
                raise TargetDied(line)
        provoked, self._provoked = self._provoked, False
        try:
            if self._memory is not None and self._last is not None and self._last.unsettled:
                self._memory.close()  # what is still in flight must not land in the next session's memory
                self._memory = None
            if self._memory is None:
                self._memory = SharedMemory(MEMORY)
            self._session = self._last = VhostUserSession(self, self._memory, self.seconds)
        except (TargetDied, TargetHung) as error:
            served = self._served
            self.ended(False)
            if served:
                raise
            raise TargetError(str(error)) from None  # it never worked: that is no find
        except TargetMisspoke:
            self.ended(False)
            raise
        except TargetError:
            self._provoked = provoked
            if self._served and process is not None and process.failed() and not self._in_order():  # as we looked
                line = f"{self.name} ended after its last connection: {process.obituary()}"
                process.end()
                raise TargetDied(line) from None
            raise
        except OSError as error:
            raise TargetError(f"no memory can be shared: {error.strerror}") from None
        self._counting.begin(self._session, process)
        return self._session

    def counters(self) -> Counters | None:
        """Of the process, if it is ours, and built with vqcov.c."""
        return self._counting.counters()

    def spare(self) -> None:
        """A connection may break, and the process serves the next one."""
        self._spared = self._provoked = True
        self._untold = ""

    def revives(self, seconds: float) -> bool:
        """Whether it serves another connection."""
        try:
            frontend = Frontend(self.connect(), seconds)
        except TargetError:
            return False
        try:
            frontend.negotiate()
        except ConversationError:
            return False
        finally:
            frontend.close()
        return True

    def ending(self) -> str:
        """How the process ended, unless in order: some serve one connection and are done."""
        process = self._process
        if process is not None and process.failed():
            return "" if self._in_order() else process.obituary()
        return self._untold

    def _in_order(self) -> bool:
        """Whether the process, having heard what no front-end says or seen what no driver writes, ended itself with an
        error: it serves one front-end, and a new one works. Not so who was killed, panicked, or died of a sanitizer."""
        process = self._process
        ended = process is not None and self._provoked and _OF_ITSELF.fullmatch(process.status())
        return bool(ended) and process is not None and not process.sanitizer()

    @property
    def starts(self) -> int:
        """How often the process was started."""
        return self._process.starts if self._process is not None else 0

    def restart(self) -> None:
        """The next session gets a new process, unless it is somebody else's."""
        if self._session is not None:
            self._session.close()
        if self._process is not None:
            self._process.end(grace=0)

    def probe(self) -> Offer:
        """What it offers, by a connection of its own."""
        if self._session is not None:
            self._session.close()
        frontend = self.frontend(self.connect(), self.seconds)
        try:
            frontend.negotiate()
            queues = frontend.queue_count()
            config = frontend.config(classes.CONFIG)
        except ConversationError as error:
            end = self.obituary(1.0 if isinstance(error, Closed) else 0.0)
            raise TargetError(f"{self.name} {error}" + (f": {end}" if end else "")) from None
        finally:
            frontend.close()
        details = [
            ("ring features", " ".join(spec.feature_names(frontend.features))),
            ("other features", _other_bits(frontend.features)),
            ("protocol features", " ".join(protocol.protocol_names(frontend.protocol_features))),
            ("device class", self.limits.device),
        ]
        if self.limits.device == "blk" and len(config) >= 8:
            details.append(("capacity", f"{int.from_bytes(config[:8], 'little')} sectors"))
        details.extend(("fact", fact) for fact in (self.preset.facts if self.preset else ()))
        self._offer = Offer(frontend.features, queues, config, tuple(details))
        return self._offer

    def words(self) -> str:
        """The last lines of the process' output."""
        return self._process.words() if self._process else ""

    def describe(self) -> dict[str, str]:
        """Everything about the target that a run depended on."""
        found = {"target": self.name}
        if self._process is not None:
            found["command"] = self._process.command
            found["pid"] = str(self._process.pid)
            version = self._version()
            if version:
                found["version"] = version
        if self._offer is not None:
            found.update(self._offer.facts())
        return found

    def _version(self) -> str:
        if self.preset is None:
            return ""
        if self.preset.version_line:
            lines = [line for line in self.words().splitlines() if self.preset.version_line in line]
            return lines[-1].partition(self.preset.version_line)[2].strip(" :'") if lines else ""
        try:
            return first_line([*_find(self.preset), *self.preset.version])
        except TargetError:
            return ""

    def close(self) -> None:
        """End the session and the process."""
        if self._session is not None:
            self._session.close()
        if self._process is not None:
            self._process.close()
        self._counting.close()
        if self._memory is not None:
            self._memory.close()
            self._memory = None


def _other_bits(features: int) -> str:
    """The numbers of feature bits that aren't ring features, for people."""
    known = sum(spec.FEATURE_NAMES.values())
    return " ".join(str(bit) for bit in range(64) if (features & ~known) >> bit & 1)


def _find(preset: Preset) -> list[str]:
    """What starts the preset's program: its path, or the words of the variable. Raises TargetError with the mend."""
    program = preset.command[0]
    variable = "VQFUZZ_" + program.upper().replace("-", "_")
    named = shlex.split(os.environ.get(variable, ""))
    found = shutil.which(named[0] if named else program)
    if found is None and not named:
        found = next((place for place in preset.places if os.access(place, os.X_OK)), None)
    if found is None:
        if named:
            raise TargetError(f"{variable} names {named[0]!r}, which is no program")
        raise TargetError(
            f"{program} is not installed (Debian: apt-get install {preset.package}); or name it in {variable}"
        )
    return [found, *named[1:]]


def available(name: str) -> bool:
    """Whether the program of the preset *name* is installed."""
    try:
        _find(PRESETS[name])
    except TargetError:
        return False
    return True


def _from_preset(preset: Preset) -> VhostUser:
    cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    command = [*_find(preset), *(word.replace("{cpus}", cpus) for word in preset.command[1:])]
    process = Process(command, dict(preset.environment), preset.files)
    target = VhostUser(preset.name, preset.limits, process)
    target.preset = preset
    target.reset_by = preset.reset_by
    target.stop_spreads = preset.stop_spreads
    return target


def make(words: str) -> VhostUser:
    """The target that *words* name: ``vhost-user:PATH``, ``exec:COMMAND`` or a preset.

    The first two are asked at once what they offer, for that decides what can be drawn for them; the device
    class is told by that, too, or stands in brackets, facts about the device behind it:
    ``exec[blk]:COMMAND``, ``exec[blk,forgets=1]:COMMAND``. Raises TargetError.
    """
    if words in PRESETS:
        return _from_preset(PRESETS[words])
    match = _GENERIC.fullmatch(words)
    if match is None:
        close = get_close_matches(words, PRESETS, 1, 0)
        raise TargetError(f"no vhost-user target is called {words!r}; the nearest is {close[0]!r}")
    kind, brackets, rest = match.groups()
    device, facts = classes.bracketed(kind, brackets)
    if kind == "exec":
        target = VhostUser(words, Limits(), Process(split_command(rest)))
    elif rest:
        target = VhostUser(words, Limits(), path=rest)
    else:
        raise TargetError("vhost-user: lacks the path of a socket, as in vhost-user:/tmp/backend.sock")
    try:
        _learn(target, kind, device or "")
        target.limits = replace(target.limits, hints=(*target.limits.hints, *facts))
    except BaseException:
        target.close()
        raise
    return target


def _learn(target: VhostUser, kind: str, device: str) -> None:
    offer = target.probe()
    if not offer.features & spec.VERSION_1:
        raise TargetError(f"{target.name} does not offer version_1")
    device = device or classes.guess(offer)
    if not device:
        known = f"write {kind}[blk]: or {kind}[net]:, or {kind}[raw]: if it is any other"
        raise TargetError(f"what device {target.name} is can't be told: {known}")
    target.limits = classes.limits(device, offer)
    target.device_features = classes.CLASSES[device][1]

"""One child process that serves a unix socket: its start, its output, its end.

Knows command lines, signals and folders. Must not know what is spoken over the socket, nor why.

The child never outlives us: it gets SIGKILL when the thread that started it ends (start it from a
thread that lives as long as the target does), even if we are killed ourselves. Its output goes to a
file rather than a pipe, so that nobody has to read along and the child never blocks on us.
"""

from __future__ import annotations

import atexit
import errno
import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from fuzz.targets import TargetError
from fuzz.targets.folders import RUN, Folder, sweep

LINES = 200  # of output kept as last words
_TAIL = 64 * 1024  # bytes of output looked at for them
_LOG_LIMIT = 8 * 1024 * 1024  # bytes of output after which trim() starts the file anew
_SOCKET_PATH_LIMIT = 107  # bytes that fit in sockaddr_un
_PR_SET_PDEATHSIG = 1
_SANITIZER = re.compile(r"(?:ERROR|WARNING): \w+Sanitizer: .*|.*runtime error: .*|ERROR: libFuzzer: .*")


def split_command(template: str) -> list[str]:
    """The words of a command line with ``{socket}`` in it. Raises TargetError that says what to mend."""
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise TargetError(f"the command {template!r} can't be read: {str(error).lower()}") from None
    if not words:
        raise TargetError("the command is empty: write one, as in exec:'my-backend --socket-path={socket}'")
    if not any("{socket}" in word for word in words):
        raise TargetError(f"the command {template!r} lacks {{socket}}: write it where the path of the socket goes")
    return words


def first_line(command: Sequence[str]) -> str:
    """The first line that *command* prints, such as its version; '' if it can't be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.partition("\n")[0].strip()


def death_signal(number: int = signal.SIGKILL) -> Callable[[], None]:
    """What a child runs after the fork to get a signal when we die. What allocates happens here, before the fork."""
    import ctypes  # late: only those who start a child pay for it

    prctl = ctypes.CDLL(None, use_errno=True).prctl
    kill = ctypes.c_ulong(number)
    parent = os.getpid()

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, kill, 0, 0, 0)
        if os.getppid() != parent:  # we died before the line above took effect
            os._exit(127)

    return arrange


def connect(path: str) -> socket.socket:
    """A connected stream socket. Raises OSError, with nothing left open."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        connection.settimeout(5)  # a full backlog blocks
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


#: what connect() may meet while the other side is starting, or is busy with the connection before
NOT_YET = frozenset({errno.ENOENT, errno.ECONNREFUSED, errno.EAGAIN, errno.ECONNRESET, errno.EINTR})


class Process:
    """A child started from *command*, a list of words in which ``{socket}`` and ``{folder}`` are replaced.

    *files* are created in the folder before the first start: (name, bytes), sparse. *environment* is
    added to ours; placeholders are replaced there, too. May be started again after it ended; folder
    and files stay the same over that, and go with close().
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        files: Sequence[tuple[str, int]] = (),
    ) -> None:
        self._template = list(command)
        self._environment = dict(environment or {})
        self._files = tuple(files)
        self._made: Folder | None = None
        self._folder: str | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._output = -1
        self._since = 0  # where the output of the child that runs begins
        self._numbers: dict[str, int] = {}  # of the descriptors that the child got
        self.path = ""  # of the socket; '' before the first start
        self.starts = 0

    @property
    def command(self) -> str:
        """The command line as it was or will be run, quoted for a shell."""
        return shlex.join(self._replace(word) for word in self._template)

    @property
    def template(self) -> list[str]:
        """The command as it was given, with its placeholders."""
        return self._template

    @property
    def pid(self) -> int:
        """Of the child, or 0 if there is none."""
        return self._child.pid if self._child else 0

    def _replace(self, word: str) -> str:
        if self._folder is None:
            return word
        word = word.replace("{socket}", self.path).replace("{folder}", self._folder)
        for name, number in self._numbers.items():
            word = word.replace(f"{{{name}}}", str(number))
        return word

    @property
    def folder(self) -> Path:
        """The child's folder, made if there is none yet. Raises TargetError."""
        if self._folder is None:
            self._make_folder()
        return Path(self._folder or "")

    def _make_folder(self) -> None:
        base = tempfile.gettempdir()
        if len(os.fsencode(base)) > _SOCKET_PATH_LIMIT - len(f"/{RUN}12345678/s"):
            base = "/tmp"  # the temporary folder's name is too long for a socket's address
        try:
            sweep(base, RUN)
            self._made = Folder(base, RUN)
        except OSError as error:
            raise TargetError(f"no temporary folder can be made in {base}: {error.strerror}; set TMPDIR") from None
        self._folder = str(self._made.path)
        atexit.register(self.close)
        self.path = f"{self._folder}/s"
        try:
            for name, size in self._files:
                with open(Path(self._folder, name), "wb") as file:
                    file.truncate(size)
            # Appending, so that trim() can cut the file while the child goes on writing.
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._output = os.open(f"{self._folder}/output", flags, 0o600)
        except OSError as error:
            raise TargetError(f"can't prepare {self._folder}: {error.strerror}") from None

    def start(self, descriptors: Mapping[str, int] | None = None, environment: Mapping[str, str] | None = None) -> None:
        """Start the child, ending one that runs. Returns at once: see connect(). Raises TargetError.

        It inherits *descriptors*; their numbers replace ``{NAME}`` in the command. *environment* is added to its own.
        """
        self.end()
        self._numbers = dict(descriptors or {})
        if self._folder is None:
            self._make_folder()
        self.trim()
        self._since = os.fstat(self._output).st_size
        Path(self.path).unlink(missing_ok=True)
        words = [self._replace(word) for word in self._template]
        added = {**self._environment, **(environment or {})}
        try:
            self._child = subprocess.Popen(
                words,
                # A pipe that we hold open and never write to: some read standard input and end when it does.
                stdin=subprocess.PIPE,
                stdout=self._output,
                stderr=self._output,
                env={**os.environ, **{name: self._replace(value) for name, value in added.items()}},
                pass_fds=list(self._numbers.values()),
                preexec_fn=death_signal(),  # noqa: PLW1509  # two system calls, nothing that could need a lock
                process_group=0,  # a Ctrl-C at the terminal is ours, and its children end with it
            )
        except FileNotFoundError:
            raise TargetError(f"{words[0]} is not installed, or not on the PATH") from None
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise TargetError(f"{words[0]} can't be started: {reason.lower()}") from None
        self.starts += 1

    def connect(self, seconds: float) -> socket.socket:
        """A connection to the child's socket, which it may need up to *seconds* to listen on.

        Connecting, rather than looking for the file, is what shows that it is ready. Raises TargetError:
        the child ended, never listened, or we are out of file descriptors.
        """
        deadline = time.monotonic() + seconds
        pause = 0.001
        while True:
            try:
                return connect(self.path)
            except OSError as error:
                if error.errno not in NOT_YET and not isinstance(error, TimeoutError):
                    raise TargetError(f"can't connect to {self.path}: {error.strerror or error}") from None
            if not self.alive():
                raise TargetError(f"{self._name()} ended before it accepted a connection: {self.obituary()}")
            if time.monotonic() > deadline:
                last = self.last_word()
                said = f"; it said: {last}" if last else ""
                raise TargetError(f"{self._name()} runs, but accepts no connection after {seconds:g} s{said}")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.02)

    def _name(self) -> str:
        return Path(self._template[0]).name

    def _ending(self) -> os.waitid_result | None:
        """How the child ended, or None. It stays a zombie until end(), so that its number can't become a stranger's."""
        if self._child is None:
            return None
        try:
            return os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # somebody else in this program waits for every child
            self._child = None
            return None

    def alive(self) -> bool:
        """Whether the child runs."""
        return self._ending() is None and self._child is not None

    def wait(self, seconds: float) -> bool:
        """Whether the child ended within *seconds*."""
        deadline = time.monotonic() + seconds
        pause = 0.0005
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(pause)
            pause = min(pause * 1.5, 0.02)
        return True

    def status(self) -> str:
        """How the child ended, in a few words: ``killed by SIGSEGV``, ``exit status 1``; '' while it runs."""
        ending = self._ending()
        if ending is None:
            return ""
        if ending.si_code == os.CLD_EXITED:
            return f"exit status {ending.si_status}"
        try:
            return f"killed by {signal.Signals(ending.si_status).name}"
        except ValueError:
            return f"killed by signal {ending.si_status}"

    def failed(self) -> bool:
        """Whether the child ended in a way that can't be meant: not with exit status 0, or a sanitizer spoke."""
        status = self.status()
        return bool(status) and (status != "exit status 0" or bool(self.sanitizer()))

    def words(self) -> str:
        """The last lines that the child printed, or ''; of those that ran before it too."""
        return "\n".join(self._lines(0))

    def _lines(self, since: int) -> list[str]:
        if self._output < 0:
            return []
        try:
            since = max(since, os.fstat(self._output).st_size - _TAIL)
            data = os.pread(self._output, _TAIL, since)
        except OSError:
            return []
        return data.decode("utf-8", "replace").splitlines()[-LINES:]

    def last_word(self) -> str:
        """The last line with anything in it, printable characters only, cut at 200."""
        lines = [line.strip() for line in self._lines(self._since) if line.strip()]
        return _printable(lines[-1]) if lines else ""

    def disregard(self) -> None:
        """What was printed so far, as while starting, matters no more: it is no last word of what comes."""
        if self._output >= 0:
            self._since = os.fstat(self._output).st_size

    def sanitizer(self) -> str:
        """The first line of a sanitizer's report among the last words, or ''."""
        found = _SANITIZER.search("\n".join(self._lines(self._since)))
        return _printable(found.group().strip()) if found else ""

    def obituary(self) -> str:
        """One line: how the child ended and what it said that matters most; '' while it runs."""
        status = self.status()
        said = self.sanitizer() or self.last_word()
        return f"{status}; it said: {said}" if status and said else status

    def trim(self) -> None:
        """Start the file of output anew if it has grown large."""
        if self._output >= 0 and os.fstat(self._output).st_size > _LOG_LIMIT:
            os.ftruncate(self._output, 0)
            self._since = 0

    def end(self, grace: float = 2.0) -> None:
        """End the child and whatever it started: SIGTERM, and after *grace* seconds SIGKILL. Never raises."""
        child = self._child
        if child is None or os.getpid() != self._owner:  # after a fork it is still the parent's
            return
        if child.stdin is not None:
            with suppress(OSError):
                child.stdin.close()
        if grace > 0 and self.alive():
            _kill_group(child.pid, signal.SIGTERM)
            self.wait(grace)
        _kill_group(child.pid, signal.SIGKILL)  # also when it ended: what it started may be left
        with suppress(subprocess.TimeoutExpired):  # stuck in the kernel: nothing more can be done
            child.wait(5)

    def close(self) -> None:
        """End the child, remove the folder. Never raises; may be called twice."""
        if os.getpid() != self._owner:
            return
        self.end()
        atexit.unregister(self.close)
        if self._output >= 0:
            os.close(self._output)
            self._output = -1
        if self._made is not None:
            self._made.remove()
            self._made = self._folder = None
        self._child = None


def _kill_group(pid: int, number: int) -> None:
    with suppress(OSError):  # nobody left
        os.killpg(pid, number)


def _printable(line: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in line[:200])


def state_of(pid: int) -> str:
    """R, S, D, T, … as /proc has it: running, asleep, waiting for a disk, stopped; X if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "X"

"""Becomes a program in namespaces of its own, so that nothing of it outlives us; with another system's /usr if asked.

    python enter.py USR PROGRAM ARGUMENT…        USR: a folder that is /usr for the program, or '' for this machine's

Run by its path, never imported: it knows nothing of the rest. User-mode Linux starts processes that leave its process
group and wait for nobody; here they have a process 1 of their own, which dies with us and takes them along. All other
folders stay what they are, so paths mean the same. Needs root, or user namespaces.
"""

import ctypes
import os
import signal
import sys

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER = 0x20000, 0x20000000, 0x10000000
MS_BIND, MS_REC, MS_PRIVATE, PR_SET_PDEATHSIG = 0x1000, 0x4000, 0x40000, 1


def checked(what: str, result: int) -> None:
    """End with one line if a C call failed."""
    if result != 0:
        sys.exit(f"enter: {what}: {os.strerror(ctypes.get_errno())}")


def put(path: str, text: str) -> None:
    """Write a small file."""
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def separate(libc: ctypes.CDLL) -> None:
    """Namespaces for mounts and processes; for who isn't root, within one for users."""
    user, group = os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNS | CLONE_NEWPID) == 0:
        return
    checked("unshare (neither root nor user namespaces?)", libc.unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID))
    put("/proc/self/setgroups", "deny")
    put("/proc/self/uid_map", f"0 {user} 1")
    put("/proc/self/gid_map", f"0 {group} 1")


def ended(child: int) -> None:
    """Wait for *child*, and end as it did."""
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None
        os.kill(os.getpid(), number)
        os._exit(128 + number)  # process 1 of a namespace survives its own signals
    os._exit(os.WEXITSTATUS(status))


def main() -> None:
    """Separate, mount, fork twice, become the program."""
    usr, *words = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    separate(libc)
    checked("mount / private", libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None))
    if first := os.fork():
        ended(first)
    libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
    if second := os.fork():
        ended(second)
    checked("mount /proc", libc.mount(b"proc", b"/proc", b"proc", ctypes.c_ulong(0), None))
    if usr:  # last: nothing of Python is read from here on
        checked(f"mount {usr}", libc.mount(os.fsencode(usr), b"/usr", None, ctypes.c_ulong(MS_BIND | MS_REC), None))
    try:
        os.execv(words[0], words)
    except OSError as error:
        os.write(2, f"enter: {words[0]}: {error.strerror}\n".encode())
        os._exit(127)


main()

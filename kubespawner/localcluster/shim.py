"""Runs one container's process as its parent, and leaves nothing of it: a program of its own.

What the init process of a container and its end do on a node: signals for the container reach its
main process, orphans are reaped, and when the main process has ended all that it started is
killed, whatever session it moved to. The same happens when the embedded cluster itself is gone,
however it ended: its end of the control pipe closes.

Standard input is that pipe. A byte ``T`` sends SIGTERM to the main process, ``K`` or the end of
the pipe kills all. Exit code: the main process's, 128 + n after signal n, 127 without such a
program, 126 for one that can't be run.

Started as ``python -I -S shim.py PROGRAM ARGUMENT…``; needs the standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import signal
import sys

_PR_SET_CHILD_SUBREAPER = 36
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def _adopt_orphans() -> None:
    """Become the parent of all descendants that lose theirs; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _start(argv: list[str]) -> int:
    # Blocked until the program runs, so that none is lost to a handler of ours.
    signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)
    child = os.fork()
    if child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
        return child
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        signal.set_wakeup_fd(-1)
        # Python ignores the last two, and what is ignored stays so in the program.
        for number in (signal.SIGCHLD, *_FORWARDED, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
        os.execvp(argv[0], argv)
    except OSError as e:
        os.write(2, f"exec: {argv[0]}: {e.strerror}\n".encode())
        os._exit(127 if e.errno == errno.ENOENT else 126)


def _reap(main: int) -> int | None:
    """Collect what has ended; return the main process's exit code once it is among that."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == main:
            ended = os.waitstatus_to_exitcode(status)
            code = 128 - ended if ended < 0 else ended


def _children() -> list[int]:
    """Return this process's children, from /proc; none where there is no /proc."""
    found = []
    own = str(os.getpid())
    for entry in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if not entry.isdigit():
            continue
        # Gone meanwhile.
        with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", "rb") as file:
            # After the program's name, which may contain anything: state, parent.
            if file.read().rpartition(b")")[2].split()[1].decode() == own:
                found.append(int(entry))
    return found


def _kill(send: object, pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        send(pid, signal.SIGKILL)  # type: ignore[operator]


def _kill_all(main: int) -> int | None:
    """Kill every descendant and wait until none is left; return the main process's exit code."""
    code = None
    _kill(os.killpg, main)
    while True:
        # The children of what is killed become ours, and are killed in the next round.
        for pid in _children():
            _kill(os.kill, pid)
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return code
        if pid == main:
            ended = os.waitstatus_to_exitcode(status)
            code = 128 - ended if ended < 0 else ended


def main(argv: list[str]) -> int:
    """Run ``argv`` to its end; return its exit code."""
    _adopt_orphans()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    for number in (signal.SIGCHLD, *_FORWARDED):
        # Handled below, through the descriptor.
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    child = _start(argv)
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            received = os.read(woken, 1024)
            code = _reap(child)
            if code is not None:
                _kill_all(child)
                return code
            if any(number in received for number in _FORWARDED):
                os.kill(child, signal.SIGTERM)
        if 0 in ready:
            orders = os.read(0, 1024)
            if not orders or b"K" in orders:
                killed = _kill_all(child)
                return 128 + signal.SIGKILL if killed is None else killed
            os.kill(child, signal.SIGTERM)


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))

"""Processes that cannot outlive what started them (Linux). Imports nothing of the package.

`python process_guard.py PARENT_PID COMMAND...` runs one command so. A child that merely asks for a death signal
leaves its own children behind (data loader workers, the other ranks of DDP). The guard leads the group of all of them
and ends the whole group when its parent is gone, even after `kill -9`. It is started by path, which costs milliseconds.
"""

import ctypes
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import Any

PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> int:
    """Run the command; return its exit code, 128 + the signal if a signal ended it. No command: wait for the end."""
    lead_group(parent)
    while not command:
        signal.pause()
    guard = os.getpid()
    return exit_code(
        subprocess.call(command, stdin=subprocess.DEVNULL, preexec_fn=lambda: die_with(guard, signal.SIGKILL))
    )


def lead_group(parent: int) -> None:
    """End the group that this process leads as soon as its parent is gone."""
    signal.signal(signal.SIGTERM, _end_group)
    die_with(parent, signal.SIGTERM)


def die_with(parent: int, signum: int) -> None:
    """Let the kernel send `signum` to this process when its parent ends (prctl(2), PR_SET_PDEATHSIG).

    Args:
        parent: the process that started this one; when it has ended before this call, the signal is sent at once.
        signum: the signal.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:
        os.kill(os.getpid(), signum)


def die_with_first_rank() -> None:
    """End this process with the one that launched it, if it is one of DDP's further ranks.

    Left alone, it would wait for the lost rank in a collective operation for half an hour.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":
        die_with(os.getppid(), signal.SIGKILL)


def end_group_with_leader() -> None:
    """Called by the leader of a process group: it dies with its parent, and whoever is left of the group with it.

    So a W&B agent that ends a run, or is ended itself, leaves neither ranks of DDP nor loader workers behind.
    """
    die_with(os.getppid(), signal.SIGKILL)
    subprocess.Popen([sys.executable, "-P", __file__, str(os.getpid())], stdin=subprocess.DEVNULL)


def end_group(leader: int) -> None:
    """Kill what is left of the process group of a guard that has ended."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def exit_code(code: int) -> int:
    """A return code of `subprocess` as a shell writes it: 128 + the signal where a signal ended the process."""
    return code if code >= 0 else 128 - code


def _end_group(*_: Any) -> None:
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))

"""Processes that end together with the process that started them (Linux). Imports nothing of the package.

`python process_guard.py PARENT_PID COMMAND...` runs one command under such a guard. A child that merely asks for a
death signal leaves its own children behind (data loader workers, the other ranks of DDP). The guard leads the group of
all of them and ends the whole group when its parent is gone, even after `kill -9`. It is started by path, which costs
milliseconds.
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
    """Run the command and return its exit code, 128 + the signal if a signal ended it. Without a command: only wait."""
    lead_group(parent)
    while not command:
        signal.pause()
    guard = os.getpid()
    return exit_code(
        subprocess.call(command, stdin=subprocess.DEVNULL, preexec_fn=lambda: die_with(guard, signal.SIGKILL))
    )


def lead_group(parent: int) -> None:
    """End the group of this process, its leader, as soon as the parent is gone."""
    signal.signal(signal.SIGTERM, _end_group)
    die_with(parent, signal.SIGTERM)


def die_with(parent: int, signum: int) -> None:
    """Make the kernel send `signum` to this process when its parent ends (prctl(2), PR_SET_PDEATHSIG).

    Args:
        parent: Process that started this one; if it has ended before this call, the signal is sent at once.
        signum: Signal to send.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:
        os.kill(os.getpid(), signum)


def die_with_first_rank() -> None:
    """Make a DDP rank other than 0 end together with the process that launched it.

    Otherwise it would wait for the lost rank in a collective operation for half an hour.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":
        die_with(os.getppid(), signal.SIGKILL)


def end_group_with_leader() -> None:
    """Make this process, the leader of its group, end with its parent, and the rest of the group with it.

    So a W&B agent that ends a run, or is ended itself, leaves neither ranks of DDP nor loader workers behind.
    """
    die_with(os.getppid(), signal.SIGKILL)
    subprocess.Popen([sys.executable, "-P", __file__, str(os.getpid())], stdin=subprocess.DEVNULL)


def end_group(leader: int) -> None:
    """Kill the remaining processes in the group of a guard that has ended."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def exit_code(code: int) -> int:
    """Return a return code of `subprocess` as a shell writes it: 128 + the signal if a signal ended the process."""
    return code if code >= 0 else 128 - code


def _end_group(*_: Any) -> None:
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))

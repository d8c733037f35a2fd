"""Runs one command so that it cannot outlive the runner: `python guard.py RUNNER_PID COMMAND...` (Linux).

A child that merely asks the kernel for a death signal leaves its own children behind (data loader workers, the other
ranks of DDP). This process leads the group of all of them and ends the whole group when the runner is gone, even after
`kill -9`. It is started by path and imports nothing of the package, so that it costs a few milliseconds.
"""

import ctypes
import os
import signal
import subprocess
import sys
from typing import Any

PR_SET_PDEATHSIG = 1


def main(runner: int, command: list[str]) -> int:
    """Run the command; return its exit code, 128 + the signal if a signal ended it."""
    signal.signal(signal.SIGTERM, _end_group)
    die_with_parent(signal.SIGTERM)
    if os.getppid() != runner:  # it died before the line above
        _end_group()
    code = subprocess.call(command, stdin=subprocess.DEVNULL)
    return code if code >= 0 else 128 - code


def die_with_parent(signum: int) -> None:
    """Ask the kernel to send `signum` to this process when its parent dies (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signum)


def _end_group(*_: Any) -> None:
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))

"""SIGINT, SIGTERM and SIGHUP, which a training obeys between two steps.

Imports nothing heavy, so that a run is ready for a signal before the imports, which take seconds.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 20.0  # seconds after which a run no longer waits for a step that it can save; it ends within 30


class Signals:
    """The signals that this process has received while it trains.

    A handler that acts at once would interrupt a collective operation, and the other processes would wait for it
    forever. So the handler only records the signal. Outside the training loop nothing can be saved, and a signal ends
    the process at once; so does a second SIGINT.

    Attributes:
        training: Whether the training loop runs.
        received: The first signal, or None.
    """

    def __init__(self) -> None:
        self.training = False
        self.received: int | None = None
        self._since = 0.0
        self._farewell = ""

    @contextmanager
    def held(self, farewell: str) -> Iterator[None]:
        """Handle the signals in a ``with`` block.

        Args:
            farewell: Sentence for the user, printed when a signal ends this process at once; empty: none.
        """
        self.training, self.received, self._farewell = False, None, farewell
        ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else set()  # by nohup
        former = {number: signal.signal(number, self._handle) for number in SIGNALS if number not in ignored}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    @property
    def overdue(self) -> bool:
        """Whether a signal has waited for more than ``PATIENCE``."""
        return self.received is not None and time.monotonic() - self._since > PATIENCE

    def end(self, number: int) -> NoReturn:
        """End this process as the signal would without a handler."""
        if self._farewell:
            print(f"litcv: {signal.Signals(number).name}: {self._farewell}", file=sys.stderr, flush=True)
        end_by(number)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if not self.training or (self.received is not None and number == signal.SIGINT):
            self.end(number)
        if self.received is None:
            self.received, self._since = number, time.monotonic()
            if self._farewell:
                print("litcv: saving after this step; Ctrl-C again ends at once.", file=sys.stderr, flush=True)


def end_by(number: int) -> NoReturn:
    """End this process by a signal, so that its parent sees it as stopped, not failed."""
    sys.stdout.flush()
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    raise SystemExit(128 + number)  # a signal to oneself arrives before `kill` returns


SIGNALS_OF_THIS_PROCESS = Signals()

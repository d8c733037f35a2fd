"""Gives inputs to worker processes, and notices those that never answer or die."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LIMIT = 20.0  # seconds of computing that one input may take: the clock of a busy machine says little
PATIENCE = 3  # times the limit that a process may wait without computing
BAD = ("uncaught", "hang", "crash")


@dataclass
class Result:
    """The counts of one format.

    Attributes:
        outcomes: Number of inputs by outcome: accepted, refused, uncaught, hang, crash.
        longest: Seconds of the slowest input, and its seed.
        failures: What each bad input says, and the command that repeats it.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    longest: tuple[float, int] = (0.0, 0)
    failures: list[str] = field(default_factory=list)


class Worker:
    """A process of `worker.py`.

    Args:
        folder: Folder for its files.
        limit: Seconds of computing that one input may take.
    """

    def __init__(self, folder: Path, limit: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.limit, self.log = limit, folder / "log.txt"
        offline = {
            "WANDB_MODE": "offline",
            "WANDB_SILENT": "true",
            "OMP_NUM_THREADS": "1",
            "NO_ALBUMENTATIONS_UPDATE": "1",
        }
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.worker", str(folder)],
            cwd=ROOT,
            env={**os.environ, **offline, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"  # its imports are no part of the first input

    def ask(self, name: str, seed: int) -> dict[str, Any]:
        """Return the verdict on an input."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{name} {seed}\n")
        self.process.stdin.flush()
        start = changed = time.monotonic()
        first = latest = self._computed()
        while not select.select([self.process.stdout], [], [], 0.5)[0]:
            now, computed = time.monotonic(), self._computed()
            if computed > latest:
                changed, latest = now, computed
            if computed - first > self.limit or now - changed > PATIENCE * self.limit:
                self.process.send_signal(signal.SIGUSR1)  # it writes its traceback
                select.select([self.process.stdout], [], [], 2.0)
                self.close()
                return {
                    "outcome": "hang",
                    "seconds": round(now - start, 1),
                    "arguments": [],
                    "said": self._end_of_log(),
                }
        if answer := self.process.stdout.readline():
            return dict(json.loads(answer))
        code = self.process.wait()
        seconds = round(time.monotonic() - start, 1)
        return {
            "outcome": "crash",
            "seconds": seconds,
            "arguments": [],
            "said": f"exit code {code}\n{self._end_of_log()}",
        }

    def close(self) -> None:
        """End the process and those that it has started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _computed(self) -> float:
        """Return the seconds of computing of the process and its children so far."""
        return ticks(self.process.pid) / os.sysconf("SC_CLK_TCK")

    def _end_of_log(self) -> str:
        return self.log.read_text(errors="replace")[-3_000:]


def ticks(pid: int) -> int:
    """Return the clock ticks that a process and all that it has started have computed."""
    parents, computed = dict[int, int](), dict[int, int]()
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            words = file.read_text().rpartition(")")[2].split()
            number = int(file.parent.name)
            parents[number] = int(words[1])
            computed[number] = sum(map(int, words[11:15]))  # with the children that it has waited for
    family = {pid}
    while more := {number for number, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(computed.get(number, 0) for number in family)


def fuzz(
    folder: Path, inputs: Iterable[tuple[str, int]], limit: float = LIMIT, verbose: bool = False
) -> dict[str, Result]:
    """Run inputs (format, seed) and print those that fail, or all; return the counts by format."""
    results: dict[str, Result] = {}
    for name, seed, answer in _answers(folder, inputs, limit):
        result = results.setdefault(name, Result())
        result.outcomes[answer["outcome"]] += 1
        result.longest = max(result.longest, (answer["seconds"], seed))
        if answer["outcome"] in BAD:
            words = f"{answer['outcome']}: {name} {seed}: litcv {' '.join(answer['arguments'])}\n{answer['said']}"
            result.failures.append(f"{words}\nrepeat it: python -m tests.fuzz {name} {seed}\n")
            print(result.failures[-1], flush=True)
        elif verbose:
            print(f"{answer['outcome']}: litcv {' '.join(answer['arguments'])}\n{answer['said']}", flush=True)
    return results


def _answers(
    folder: Path, inputs: Iterable[tuple[str, int]], limit: float
) -> Iterator[tuple[str, int, dict[str, Any]]]:
    worker = None
    for name, seed in inputs:
        worker = worker or Worker(folder, limit)
        answer = worker.ask(name, seed)
        if answer["outcome"] in ("hang", "crash"):
            worker = None
        yield name, seed, answer
    if worker is not None:
        worker.close()


def table(results: dict[str, Result]) -> str:
    """Return the counts as a table in Markdown."""
    kinds = ("accepted", "refused", *BAD)
    lines = [f"| format | inputs | {' | '.join(kinds)} | longest (s) |", f"|{' --- |' * (len(kinds) + 3)}"]
    for name, result in results.items():
        counts = " | ".join(str(result.outcomes[kind]) for kind in kinds)
        lines.append(
            f"| {name} | {result.outcomes.total()} | {counts} | {result.longest[0]} (seed {result.longest[1]}) |"
        )
    return "\n".join(lines)

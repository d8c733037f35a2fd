"""Mutated files of every kind are accepted or refused in one sentence; the fuzzer finds what is planted.

The seeds are the ranges below: `python -m tests.fuzz FORMAT SEED` repeats one input.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fuzz.driver import Result, Worker, fuzz, table, ticks
from tests.fuzz.formats import FORMATS
from tests.fuzz.once_failed import ONCE_FAILED

FIRST_SEEDS = {  # few of the formats whose inputs take seconds
    **{"voc": 30, "coco": 34, "mpii_mat": 24, "mpii_json": 30, "lsp_mat": 16, "visual_genome": 30, "picture": 30},
    **{"sweep": 86, "experiment": 4, "checkpoint": 2, "result": 12, "wandb": 2},
}
PER_FORMAT = {
    **{"voc": 1200, "coco": 1200, "mpii_mat": 800, "mpii_json": 800, "lsp_mat": 300, "visual_genome": 1000},
    **{"picture": 1200, "sweep": 2600, "experiment": 240, "checkpoint": 160, "result": 440, "wandb": 60},
}


def check(results: dict[str, Result]) -> None:
    failures = [failure for result in results.values() for failure in result.failures]
    assert not failures, "\n".join([*failures, table(results)])


@pytest.mark.slow
def test_300_mutated_inputs_are_accepted_or_refused_in_one_sentence(tmp_path: Path) -> None:
    inputs = [(name, seed) for name, count in FIRST_SEEDS.items() for seed in range(count)]
    assert len(inputs) == 300
    assert FIRST_SEEDS.keys() == FORMATS.keys()
    results = fuzz(tmp_path, inputs)
    check(results)
    outcomes = {kind: sum(result.outcomes[kind] for result in results.values()) for kind in ("accepted", "refused")}
    assert min(outcomes.values()) > 50, outcomes  # neither is the answer to everything


@pytest.mark.long
@pytest.mark.parametrize("name", FORMATS)
def test_10_000_mutated_inputs_are_accepted_or_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    assert sum(PER_FORMAT.values()) == 10_000
    results = fuzz(tmp_path, [(name, seed) for seed in range(PER_FORMAT[name])])
    check(results)
    print(table(results))


@pytest.mark.long
def test_inputs_that_once_failed_are_answered(tmp_path: Path) -> None:
    check(fuzz(tmp_path, ONCE_FAILED))


def test_planted_faults_are_found(tmp_path: Path) -> None:
    found = {
        "planted_exception": ("uncaught", "ZeroDivisionError"),
        "planted_silence": ("uncaught", ""),
        "planted_computing": ("hang", "planted.py"),
        "planted_waiting": ("hang", "planted.py"),
        "planted_crash": ("crash", "exit code -6"),
        "planted_health": ("accepted", ""),
    }
    results = fuzz(tmp_path, [(name, 1) for name in found], limit=1.0)
    for name, (outcome, words) in found.items():
        assert dict(results[name].outcomes) == {outcome: 1}, results[name]
        assert len(results[name].failures) == (0 if outcome == "accepted" else 1)
        assert all(words in text and f"python -m tests.fuzz {name} " in text for text in results[name].failures)
    with pytest.raises(AssertionError, match="planted_exception 1"):
        check(results)


def test_a_seed_gives_the_same_input_again(tmp_path: Path) -> None:
    inputs = []
    for name in ("first", "second"):
        worker = Worker(tmp_path / name, limit=20.0)
        inputs.append([worker.ask("sweep", seed)["input"] for seed in (5, 6, 5)])
        worker.close()
    assert inputs[0] == inputs[1]
    assert inputs[0][0] == inputs[0][2] != inputs[0][1]


def test_a_process_that_computes_for_another_one_does_not_hang() -> None:
    compute = "while True: pass"
    wait = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {compute!r}], timeout=30)"
    with subprocess.Popen([sys.executable, "-c", wait], start_new_session=True) as process:
        end = time.monotonic() + 30
        while ticks(process.pid) < 60 and time.monotonic() < end:  # the process itself needs about 10
            time.sleep(0.05)
        computed = ticks(process.pid)
        os.killpg(process.pid, signal.SIGKILL)
    assert computed >= 60

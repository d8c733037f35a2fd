"""The table of console answers: bad arguments and unusable files over all verbs, settings and kinds of files.

A line of `table.txt` is `CODE | ARGUMENTS | PART OF THE SENTENCE`; names in braces are given by `words`.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.console.broken import write_all
from tests.console.console import ROOT, Answer, litcv

TABLE = Path(__file__).with_name("table.txt")
ROWS = [
    tuple(part.strip() for part in line.split(" | ", 2))
    for line in TABLE.read_text().splitlines()
    if line and not line.startswith("#")
]
ASIDE = ("Seed set to", "GPU available", "TPU available", "HPU available", "💡 Tip")  # Lightning's notes on the machine
TWICE = "note: --data.root is given 2 times"  # by the names of the files and by the row


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the texts that stand for the names in braces."""
    folder = tmp_path_factory.mktemp("table")
    previous = Path.cwd()
    os.chdir(ROOT)
    write_all(folder)
    os.chdir(previous)
    return words_of(folder)


def words_of(folder: Path) -> dict[str, str]:
    quick = "experiments/quickstart"
    here = f"--run.root={folder / 'new'} --run.wandb=disabled"
    few = "--data.source=local --data.batch_size=2 --trainer.max_steps=1 --trainer.val_check_interval=1"
    few += " --trainer.enable_model_summary=false"
    sets = {"ssd": "voc", "fcn": "voc", "mask_rcnn": "coco"}.items()
    fit = {name: f"--config {quick}/{name}.yaml --data.root={folder / data} {few} {here}" for name, data in sets}
    names = {"voc": "ssd", "coco": "mask_rcnn", "genome": "densecap", "lsp": "pose"}
    data = {key: f"{quick}/{name}.yaml --data.source=local --data.root={folder / key}" for key, name in names.items()}
    four = {key: f"{quick}/{key}.yaml --model.network.num_classes=4" for key in ("ssd", "faster_rcnn", "mask_rcnn")}
    return {
        **data,
        **{"quick": quick, "files": str(folder), "none": str(folder / "none"), "here": here},
        **{"ssd": fit["ssd"], "fcn": fit["fcn"], "maskfit": fit["mask_rcnn"]},
        **{"ssd4": four["ssd"], "faster": four["faster_rcnn"], "mask": four["mask_rcnn"]},
    }


def check(answer: Answer, code: str, part: str) -> None:
    assert not [line for line in answer.errors if "Traceback" in line], "\n".join(answer.errors)
    assert str(answer.code) == code, (answer.code, answer.output, answer.errors)
    said = [line for line in answer.errors if not line.startswith((*ASIDE, TWICE))]
    assert len(said) <= 2, said
    assert part in (" ".join(said) or answer.output)


def arguments(row: str, words: dict[str, str]) -> list[str]:
    """Split a row as a shell does."""
    return shlex.split(fill(row, words))


def fill(row: str, words: dict[str, str]) -> str:
    """Replace the names in braces; other braces stay."""
    for name, text in words.items():
        row = row.replace(f"{{{name}}}", text)
    return row


def test_the_table_is_large_enough() -> None:
    assert len(ROWS) >= 150
    assert len({row[1].split()[0] for row in ROWS}) >= 11
    assert len(set(ROWS)) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[f"{number}: {row[1]}" for number, row in enumerate(ROWS)])
def test_the_answer_is_one_sentence(row: Sequence[str], words: dict[str, str]) -> None:
    code, args, part = row
    check(litcv(*arguments(args, words)), code, fill(part, words))


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS[:: len(ROWS) // 12 or 1], ids=lambda row: row[1])
def test_the_console_script_answers_the_same(row: Sequence[str], words: dict[str, str]) -> None:
    code, args, part = row
    script = Path(sys.executable).with_name("litcv")
    program = [str(script)] if script.exists() else [sys.executable, "-m", "lit_cv"]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    command = [*program, *arguments(args, words)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False)
    check(Answer(done.returncode, done.stdout, done.stderr.splitlines()), code, fill(part, words))

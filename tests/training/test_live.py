"""The lines that `litcv fit` prints, on a terminal and into a pipe."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lit_cv.training.lightning_cli import LitCLI

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
NOISE = (
    "Seed set",
    "GPU available",
    "TPU",
    "Total FLOPs",
    "treespec",
    "Trainer.fit",
    "sync_dist",
    "litlogger",
    "wandb",
)


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    small = ["--data.shapes.train=8", "--data.shapes.val=4", "--data.shapes.size=64", "--data.batch_size=4"]
    short = ["--trainer.max_steps=4", "--trainer.val_check_interval=2", "--trainer.accelerator=cpu"]
    place = f"--data.root={tmp_path_factory.mktemp('data') / 'shapes'}"
    return [f"--config={ROOT}/experiments/quickstart/ssd.yaml", *small, *short, place, "--run.wandb=disabled"]


def test_a_pipe_gets_a_few_plain_lines(tmp_path: Path, options: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    LitCLI(["fit", *options], tmp_path / "run")
    output = capfd.readouterr()
    expected = [
        rf"run: {tmp_path}/run \(steps: 4\)",
        r"step 2 of 4: val/map [\d.e-]+ \(best\)",
        r"step 4 of 4: val/map [\d.e-]+ \(best( [\d.e-]+)?\)",
        r"val/map [\d.e-]+ \(best [\d.e-]+\)",
        rf"result: {tmp_path}/run/result.json",
        rf"next: litcv predict {tmp_path}/run IMAGES",
    ]
    lines = output.out.splitlines()
    assert len(lines) == len(expected), lines
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line), line
    assert not [word for word in NOISE if word in output.err]


@pytest.mark.parametrize(
    ("setting", "note"),
    [
        ("--trainer.limit_val_batches=0", "note: this run will never validate"),
        (
            "--trainer.val_check_interval=9",
            "note: the first validation would come after 9 batches, but the",
        ),
    ],
)
def test_run_without_a_validation_says_so_at_its_start(
    tmp_path: Path, options: list[str], setting: str, note: str, capfd: pytest.CaptureFixture[str]
) -> None:
    LitCLI(["fit", *options, setting], tmp_path / "run")
    assert capfd.readouterr().out.splitlines()[1].startswith(note)


def test_run_of_no_steps_and_a_callback_that_waits_for_the_worst_are_told(
    tmp_path: Path, options: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    early = ["--trainer.callbacks=EarlyStopping", "--trainer.callbacks.monitor=val/map"]
    LitCLI(["fit", *options, "--trainer.limit_train_batches=0", *early], tmp_path / "run")
    output = capfd.readouterr().out
    assert "note: no step was trained" in output
    assert "EarlyStopping monitors val/map with mode min, but val/map is best at its maximum; set its mode" in output


def test_a_terminal_gets_one_line_that_changes_and_no_noise(tmp_path: Path, options: list[str]) -> None:
    main, terminal = pty.openpty()
    longer = ["--trainer.max_steps=24", "--trainer.val_check_interval=12"]  # the line is drawn four times a second
    places = [f"--run.root={tmp_path}", "--run.wandb=offline"]
    replaced = tuple(f"{option.partition('=')[0]}=" for option in (*longer, *places))
    kept = [option for option in options if not option.startswith(replaced)]
    command = [sys.executable, "-m", "lit_cv", "fit", *kept, *longer, *places]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment, cwd=ROOT)
    os.close(terminal)
    output = b""
    try:
        while chunk := os.read(main, 4096):
            output += chunk
    except OSError:  # the other side is closed
        pass
    assert process.wait(60) == 0
    text = output.decode()
    assert re.search(r"\r\x1b\[2Kstep \d+ of 24 · loss [\d.]+ · [\d.]+ images/s · \d+:\d\d left", text), text
    assert "validation, batch 1 of 1" in text
    assert not [word for word in NOISE if word in text], text


def test_an_evaluation_shows_no_bar_of_lightning_unless_it_is_asked_for(options: list[str]) -> None:
    assert LitCLI(["validate", *options, "--trainer.enable_progress_bar=null"]).trainer.progress_bar_callback is None

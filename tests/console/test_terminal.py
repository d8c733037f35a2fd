"""A terminal that is not UTF-8 gets question marks, no error."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.console.console import ROOT
from tests.helpers.fake_project import write_run

ASCII = {"PYTHONIOENCODING": "ascii"}
ASCII_FILES = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # open() without an encoding is ASCII, too


@pytest.mark.parametrize("terminal", [ASCII, ASCII_FILES], ids=["output", "files"])
def test_sweep_and_report_print_on_any_terminal(terminal: dict[str, str], tmp_path: Path) -> None:
    sweep = tmp_path / "sweep é.yaml"
    sweep.write_bytes((ROOT / "sweeps/quickstart.yaml").read_bytes() + "# é\n".encode())
    done = litcv("sweep", str(sweep), "--dry-run", "--no-measure", terminal=terminal)
    assert done.returncode == 0
    assert "arms ? " in done.stdout
    for seed in (1, 2):
        write_run(tmp_path / "runs" / "study" / f"a{seed}", seed=seed, config={"name": "é"})
    done = litcv("report", str(tmp_path / "runs" / "study"), "--metric", "val/map_50", "--force", terminal=terminal)
    assert done.returncode == 0
    assert "±" in (tmp_path / "runs" / "study" / "report" / "report.md").read_text(encoding="utf-8")
    assert "?" in done.stdout


def litcv(*args: str, terminal: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "lit_cv", *args]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **terminal}, capture_output=True, text=True, errors="replace", check=False
    )
    assert "Traceback" not in done.stderr, done.stderr[-1500:]
    return done

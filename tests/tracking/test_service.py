"""W&B's service says nothing on the console, also for a user without a home."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lit_cv.tracking.service import give_log_a_folder

CODE = """
from lit_cv.tracking.service import give_log_a_folder
give_log_a_folder()
import wandb
run = wandb.init(mode="offline", project="x", dir=".", settings={"silent": True})
run.log({"loss": 1.0})
run.finish()
"""


def test_without_a_home_the_service_is_silent(tmp_path: Path) -> None:
    given = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    given["TMPDIR"] = str(tmp_path)
    done = subprocess.run([sys.executable, "-c", CODE], env=given, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.glob(f"wandb-{os.getuid()}/**/*.log"))


@pytest.mark.parametrize(("home", "moved"), [("/dev/null", True), (".", False)])
def test_the_log_moves_only_from_a_home_that_cannot_be_written(
    home: str, moved: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_CACHE_DIR", "")  # so that it is restored
    monkeypatch.delenv("WANDB_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / home))
    give_log_a_folder()
    assert ("WANDB_CACHE_DIR" in os.environ) == moved

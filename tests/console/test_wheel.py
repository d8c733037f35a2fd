"""The wheel holds all that `new`, `fit`, `sweep` and `report` need, in a folder without a checkout."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


class Installed(NamedTuple):
    """An empty folder, and `litcv` of the wheel in it; the command must succeed and returns what it says."""

    home: Path
    litcv: Callable[..., str]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Install the built wheel in an environment of its own."""
    if UV is None:
        pytest.skip("uv is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    home = folder / "empty"
    home.mkdir()
    variables = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(*words: str) -> str:
        done = subprocess.run(words, cwd=home, env=variables, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    run(UV, "build", "--quiet", "--wheel", "--out-dir", str(folder / "dist"), str(ROOT))
    run(UV, "venv", "--quiet", "--python", sys.executable, str(folder / "venv"))
    python = str(folder / "venv/bin/python")
    (wheel,) = (folder / "dist").glob("*.whl")
    run(UV, "pip", "install", "--quiet", "--no-deps", "--compile-bytecode", "--python", python, str(wheel))
    # The dependencies are those of this environment. A path in a .pth file makes no other .pth file count, so that the
    # checkout, which is installed there, is not visible.
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    place = run(python, "-c", "import lit_cv, datamodules; print(lit_cv.__file__, datamodules.__file__)").split()
    assert all(Path(file).is_relative_to(packages) for file in place)
    return Installed(home, lambda *args: run(str(folder / "venv/bin/litcv"), *args))


def test_experiments_and_sweeps_are_listed(installed: Installed) -> None:
    for kind, pattern in (("experiments", "experiments/*/*.yaml"), ("sweeps", "sweeps/**/*.yaml")):
        names = re.findall(r"^(\S+)(?:  |$)", installed.litcv("list", kind), re.MULTILINE)
        wanted = {path.relative_to(ROOT / kind).with_suffix("").as_posix() for path in ROOT.glob(pattern)}
        assert wanted <= set(names)


@pytest.mark.slow
def test_copies_train_and_are_reported(installed: Installed) -> None:
    assert "next:\n  litcv sweep sweeps/quickstart.yaml\n" in installed.litcv("new", "--like", "quickstart")
    experiment = installed.home / "experiments/quickstart/faster_rcnn.yaml"
    text = re.sub(r"(max_steps|val_check_interval): \d+", r"\1: 2", experiment.read_text())
    experiment.write_text(
        text.replace("  source: shapes\n", "  source: shapes\n    shapes: {train: 8, val: 4, size: 64}\n")
    )
    sweep = installed.home / "sweeps/quickstart.yaml"
    text = sweep.read_text().replace("max_steps=240", "max_steps=2")
    sweep.write_text(text.replace("values: [1, 2, 3]", "values: [1]"))
    assert "2 runs, 0 done" in installed.litcv("sweep", "sweeps/quickstart.yaml")
    results = list(installed.home.glob("runs/quickstart/*/result.json"))
    assert ["val/map" in result.read_text() for result in results] == [True, True]
    installed.litcv("report", "runs/quickstart")
    assert "anchor_scales" in (installed.home / "runs/quickstart/report/report.html").read_text()

"""An executor needs one module and one entry in the registry; command line, help and status follow from it."""

import importlib.util
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest
import yaml

from lit_cv.ablation.executors import registry
from lit_cv.ablation.executors.local import LocalExecutor
from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.cli import main
from lit_cv.errors import UsageError
from tests.helpers.fake_project import COMMAND

FILE = Path(__file__).with_name("serial_executor.py")


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Write a sweep of three runs of the fake project to the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    Path("experiment.yaml").write_text("seed_everything: 1\n")
    content = {"method": "grid", "command": COMMAND, "parameters": {"model.lr": {"values": [0.5, 0.25, 0.125]}}}
    Path("sweep.yaml").write_text(yaml.safe_dump(content))
    return Path("sweep.yaml")


@pytest.fixture
def serial(monkeypatch):
    """Load an executor from its file and add it to the registry."""
    spec = importlib.util.spec_from_file_location("serial_executor", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(registry, "EXECUTORS", (*registry.EXECUTORS, module.SerialExecutor))


@pytest.fixture
def accept_trials(monkeypatch):
    """Skip the preflight, which knows lit-cv's own experiments only."""
    monkeypatch.setattr("lit_cv.commands.sweep._preflight", lambda trials, metric: None)


@pytest.mark.usefixtures("serial", "accept_trials")
def test_a_new_executor_runs_a_sweep_and_status_shows_its_queue(sweep, capsys):
    assert main(["sweep", str(sweep), "--executor", "serial", "--limit", "2"]) == 0
    assert "Follow them: litcv sweep sweep.yaml --status" in capsys.readouterr().out
    assert len(list(Path("runs/study").glob("*/result.json"))) == 2
    assert main(["sweep", str(sweep), "--status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sweep: 3 runs: 2 finished, 1 suspended"
    assert lines[3].split(maxsplit=2)[1:] == ["lr=0.125", "suspended  job place 1, waiting for data"]
    assert main(["sweep", str(sweep), "--executor", "serial"]) == 0
    assert len(list(Path("runs/study").glob("*/result.json"))) == 3
    assert "Follow them" not in capsys.readouterr().out


@pytest.mark.usefixtures("serial")
def test_the_help_names_a_new_executor_and_its_options(capsys):
    with pytest.raises(SystemExit):
        main(["sweep", "--help"])
    text = capsys.readouterr().out
    assert "{local,slurm,wandb,serial}" in text
    assert "serial: one trial after another" in " ".join(text.split())
    own = text.partition("with --executor serial:\n")[2]
    assert own.splitlines()[0].split()[:2] == ["--limit", "LIMIT"]


@pytest.mark.usefixtures("serial")
def test_options_of_a_new_executor_are_checked_like_all_others(sweep, capsys):
    assert main(["sweep", str(sweep), "--executor=serial", "--limit=-1"]) == 2
    assert "--limit -1: give at least 0." in capsys.readouterr().err
    assert main(["sweep", str(sweep), "--limit=1"]) == 2
    assert "--limit needs --executor serial; options of --executor local: --workers" in capsys.readouterr().err
    assert main(["sweep", str(sweep), "--executor=serial", "--dry-run", "--workers=2"]) == 2
    assert "--workers needs --executor local or wandb; options of --executor serial: --limit." in (
        capsys.readouterr().err
    )
    assert main(["sweep", str(sweep), "--executor=serial", "--dry-run"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 3


def test_the_help_groups_options_by_executor(capsys):
    parser = ArgumentParser()
    registry.add_arguments(parser)
    groups = parser.format_help().split("\n\n")
    titles = {group.partition(":\n")[0]: group for group in groups}
    assert "--workers" in titles["with --executor local or wandb"]
    assert "--runs-per-gpu" in titles["with --executor local"]
    assert "--max-parallel" in titles["with --executor slurm"]
    assert parser.format_help().count("  --workers") == 1


def test_shared_options_with_different_settings_are_an_error(monkeypatch):
    class Other(LocalExecutor):
        name = "other"

        @classmethod
        def add_arguments(cls, parser):
            parser.add_argument("--workers", type=str)

    monkeypatch.setattr(registry, "EXECUTORS", (LocalExecutor, Other))
    with pytest.raises(ValueError, match="other declares --workers with other settings than local"):
        registry.add_arguments(ArgumentParser())


def test_unknown_executors_and_options_are_refused(sweep):
    with pytest.raises(UsageError, match="--executor ray: there is no such executor; choose from local, slurm, wandb"):
        registry.make_executor("ray", load_sweep(sweep), {})
    with pytest.raises(
        UsageError, match="--pods is not an option of any executor; options of --executor local: --workers"
    ):
        registry.make_executor("local", load_sweep(sweep), {"pods": 2})


def test_given_options_are_those_of_all_executors():
    parser = ArgumentParser()
    registry.add_arguments(parser)
    given = registry.given_options(Namespace(**vars(parser.parse_args(["--workers=3", "--nodes=2"])), file="x"))
    assert (given["workers"], given["nodes"], given["grace"]) == (3, 2, 120)
    assert "file" not in given
    assert "executor" not in given


def test_the_help_of_sweep_is_light():
    code = "import sys; from lit_cv.cli import main\ntry: main(['sweep', '--help'])\nexcept SystemExit: pass\n"
    heavy = "('torch', 'wandb', 'submitit', 'numpy', 'matplotlib', 'optuna')"
    code += f"print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"

"""A mistyped path of a run, an experiment or a folder is answered with the nearest one, by every verb."""

from pathlib import Path

import pytest

from lit_cv.cli import main
from lit_cv.runs.near import near_path

RUN = "runs/mydata/1f2e3d4c5b"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for file in (f"{RUN}/config.yaml", f"{RUN}/run.json", "experiments/bees/ssd.yaml", "sweeps/heads.yaml"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("{}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("verb", ["validate", "test", "predict"])
@pytest.mark.parametrize(
    "typed", ["runs/mydta", "runs/mydata/1f2e3d4c5", "rns/mydta/1f2e3d4c5b", "mydata", "runs/mydata"]
)
def test_a_verb_that_takes_a_run_names_the_nearest(verb: str, typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, typed, *(["."] if verb == "predict" else [])]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"litcv: error: {typed}: ")
    assert said.endswith(f"give the folder of a run, such as {RUN}.\n")


@pytest.mark.parametrize(
    ("command", "near"),
    [
        ("bench runs/mydta", "did you mean runs/mydata?"),
        ("browse experiments/beees/sd.yaml", "did you mean experiments/bees/ssd.yaml?"),
        ("fit ssd.yaml", "did you mean experiments/bees/ssd.yaml?"),
        ("doctor runs/mydta", "did you mean runs/mydata?"),
        ("sweep sweep/head.yaml", "did you mean sweeps/heads.yaml?"),
        ("report rns/mydata", "pass a group of runs such as runs/mydata."),
        ("report runs/mydata/1f2e3d4c5", "pass a group of runs such as runs/mydata."),
        ("report --wandb runs/mydta", "there is no such folder; did you mean runs/mydata?"),
        ("validate experiments/bees/ssd.yaml", "or --config experiments/bees/ssd.yaml."),
        ("validate nowhere/at/all", "give the folder of a run (runs/<group>/<run id>)."),
        ("report nowhere", "pass a group of runs such as runs/quickstart."),
    ],
)
def test_the_nearest_path_of_its_kind_is_named(command: str, near: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 1
    assert capsys.readouterr().err.endswith(f"{near}\n")


def test_parts_are_compared_one_by_one(project: Path) -> None:
    assert near_path(project / "rnus" / "mydtaa") == project / "runs" / "mydata"
    assert near_path(Path("../") / project.name / "runs/mydta") == Path("../") / project.name / "runs/mydata"
    assert near_path(Path("runs/mydata")) is None
    assert near_path(Path("runs/quite/other")) is None

"""A resume with other arguments than those of an unfinished run."""

from pathlib import Path

import pytest
import yaml

from lit_cv.runs.files import write_json
from lit_cv.runs.folder import run_folder
from lit_cv.runs.relatives import note_of_relative


@pytest.fixture
def begun(tmp_path: Path) -> list[str]:
    """Write an unfinished run and return its arguments."""
    config = tmp_path / "experiment.yaml"
    config.write_text(yaml.safe_dump({"data": {"batch_size": 8}, "trainer": {"max_steps": 10}}))
    args = ["fit", f"--config={config}", f"--run.root={tmp_path / 'runs'}", "--run.group=g"]
    folder = run_folder(args)
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints/last.ckpt").touch()
    write_json(folder / "run.json", {"command": args})
    return args


def note(args: list[str]) -> str | None:
    return note_of_relative(run_folder(args), args)


def test_other_batch_size_is_named_with_both_ways_to_continue(begun: list[str]) -> None:
    text = note([*begun, "--data.batch_size=4"])
    assert text is not None
    folder = run_folder(begun)
    assert f"{folder}, which is unfinished, has data.batch_size=8 (here 4)" in text
    assert f"--ckpt_path={folder}/checkpoints/last.ckpt starts a new run" in text


def test_nearest_run_is_named(begun: list[str]) -> None:
    other = [*begun, "--data.batch_size=4", "--trainer.max_steps=20"]
    (run_folder(other) / "checkpoints").mkdir(parents=True)
    (run_folder(other) / "checkpoints/last.ckpt").touch()
    write_json(run_folder(other) / "run.json", {"command": other})
    text = note([*other, "--trainer.max_steps=30"])
    assert text is not None
    assert "has trainer.max_steps=20 (here 30)" in text


@pytest.mark.parametrize("options", [[], ["--run.project=x"], ["--a=1", "--b=2", "--c=3"]])
def test_equal_and_quite_different_arguments_need_no_note(begun: list[str], options: list[str]) -> None:
    assert note([*begun, *options]) is None


def test_finished_runs_sweeps_and_unreadable_records_need_no_note(begun: list[str]) -> None:
    changed, folder = [*begun, "--data.batch_size=4"], run_folder(begun)
    write_json(folder.parent / "sweep.json", {})
    assert note(changed) is None
    (folder.parent / "sweep.json").unlink()
    write_json(folder / "result.json", {})
    assert note(changed) is None
    (folder / "result.json").unlink()
    (folder / "run.json").write_text("{")
    assert note(changed) is None

"""A run that is continued with another batch size."""

import json
from pathlib import Path

import lightning as L
import pytest
import yaml

from lit_cv.ablation.results.comparability import check
from lit_cv.ablation.results.study import load_study
from lit_cv.commands.fit import fit
from lit_cv.errors import UserError
from lit_cv.runs.files import lock, write_json
from lit_cv.runs.folder import run_folder
from lit_cv.runs.relatives import take_over
from lit_cv.training.checkpoints import in_other_batches
from lit_cv.training.provenance import Provenance

SSD = [
    *("fit", "--config", "experiments/quickstart/ssd.yaml", "--trainer.accelerator=cpu", "--run.wandb=disabled"),
    *("--data.shapes.train=12", "--data.shapes.val=2", "--data.shapes.size=64", "--trainer.val_check_interval=4"),
    *("--trainer.max_steps=8", "--run.checkpoint_every=1"),
]


class Stopped(Exception):
    """Ends a run."""


def note_batches(patch: pytest.MonkeyPatch, stop: int | None = None) -> list[list[str]]:
    """Note the images of each batch of a training; after the checkpoint of a step the run ends as by a kill."""
    seen: list[list[str]] = []
    save = L.Trainer.save_checkpoint

    def start(self, trainer, task, batch, batch_idx):
        seen.append([str(target["image_id"]) for target in batch[1]])

    def saved(self, *args, **options):
        save(self, *args, **options)
        if self.global_step == stop:
            raise Stopped

    patch.setattr(Provenance, "on_train_batch_start", start)
    patch.setattr(L.Trainer, "save_checkpoint", saved)
    return seen


def test_a_resume_with_another_batch_size_continues_the_run_and_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = [*SSD, f"--data.root={tmp_path / 'shapes'}", f"--run.root={tmp_path / 'runs'}"]
    before, after = [*base, "--data.batch_size=2"], [*base, "--data.batch_size=4"]
    with monkeypatch.context() as patch:
        first = note_batches(patch, stop=2)
        with pytest.raises(Stopped):
            fit(before, resume=False)
    rest = note_batches(monkeypatch)
    fit(after, resume=True)
    folder = run_folder(after)
    note = (
        f"note: continues {run_folder(before)} with data.batch_size=4 instead of 2; the folder of the run is {folder}"
    )
    assert note in capsys.readouterr().err
    assert not run_folder(before).exists()
    result = json.loads((folder / "result.json").read_text())
    assert result["steps"] == 8
    assert result["optimization"]["batch_sizes"] == [{"size": 2, "from_step": 0}, {"size": 4, "from_step": 2}]
    assert ([len(batch) for batch in first], [len(batch) for batch in rest]) == ([2] * 2, [4] * 6)
    epoch = [image for batch in (*first, *rest[:2]) for image in batch]
    assert len(epoch) == len(set(epoch)) == 12
    (finding,) = [one for one in check(load_study([folder.parent])) if not one.controlled]
    name = f"{folder.parent.name}/{folder.name}"
    assert finding.text == f"1 runs were continued with another data.batch_size ({name}: 2, 4 from step 2)."


@pytest.fixture
def begun(tmp_path: Path) -> list[str]:
    """Write two unfinished runs that differ in the batch size, and return the arguments that both share."""
    config = tmp_path / "experiment.yaml"
    config.write_text(yaml.safe_dump({"trainer": {"max_steps": 10}}))
    args = ["fit", f"--config={config}", f"--run.root={tmp_path / 'runs'}", "--run.group=g"]
    for size in (2, 4):
        folder = run_folder([*args, f"--data.batch_size={size}"])
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "checkpoints/last.ckpt").touch()
        write_json(folder / "run.json", {"command": [*args, f"--data.batch_size={size}"]})
    return args


def test_only_one_run_of_a_length_in_steps_is_taken_over_and_none_of_a_sweep(begun: list[str]) -> None:
    two, four, eight = ([*begun, f"--data.batch_size={size}"] for size in (2, 4, 8))
    with pytest.raises(UserError, match=r"2 unfinished runs differ only in data.batch_size: .*=2\).*=4\); delete"):
        take_over(run_folder(eight), eight)
    with lock(run_folder(two) / ".lock", ""), lock(run_folder(four) / ".lock", ""):  # both are active
        assert take_over(run_folder(eight), eight) is None
    write_json(run_folder(four) / "result.json", {})
    write_json(run_folder(four).parent / "sweep.json", {})
    assert take_over(run_folder(eight), eight) is None
    (run_folder(four).parent / "sweep.json").unlink()
    assert take_over(run_folder([*eight, "--data.root=x"]), [*eight, "--data.root=x"]) is None
    Path(begun[1].partition("=")[2]).write_text("trainer: {max_epochs: 3}")
    with pytest.raises(UserError, match="its length in epochs would be another number of steps"):
        take_over(run_folder(eight), eight)
    assert run_folder(two).name != run_folder(eight).name


@pytest.mark.parametrize(("former", "size", "batch"), [(4, 2, 6), (2, 4, 1), (4, 3, 4), (2, 8, 0)])
def test_position_in_the_epoch(former: int, size: int, batch: int) -> None:
    """Three batches have been processed; Lightning has not counted the last one as completed yet."""
    current = {"ready": 3, "started": 3, "processed": 3, "completed": 2}
    loop = {"state_dict": {"combined_loader": [{"epoch": 1, "batch": 3}]},
            "epoch_loop.batch_progress": {"current": current, "total": {"ready": 9}}}  # fmt: skip
    in_other_batches(loop, former, size)
    assert loop["state_dict"]["combined_loader"] == [{"epoch": 1, "batch": batch}]
    assert current == {"ready": batch, "started": batch, "processed": batch, "completed": batch - 1}
    assert loop["epoch_loop.batch_progress"]["total"] == {"ready": 9}

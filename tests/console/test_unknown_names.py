"""Names that no experiment has, and values without effect: refused with the nearest name, at every level."""

from pathlib import Path

import pytest
import yaml

from tests.console.console import ROOT, Answer, litcv

HERE = ("--run.wandb=disabled", "--ckpt_path=nowhere")  # of right experiments the answer is about the checkpoint
UNKNOWN = {
    "run": ("grop", "run.grop: there is no such setting; did you mean run.group"),
    "trainer": ("max_stesp", "trainer.max_stesp: there is no such setting; did you mean trainer.max_steps"),
    "data init_args": ("shaps", "data.shaps: VOCDetectionDataModule has no such setting; did you mean shapes?"),
    "data init_args shapes": ("trian", "data.shapes.trian: VOCDetectionDataModule has no such setting; did you mean"),
    "model init_args": ("ntework", "model.ntework: DetectionTask has no such setting; did you mean network?"),
    "model init_args network init_args": ("sise", "model.network.sise: SSD has no such setting; did you mean size?"),
    "model init_args optimizer init_args": ("bettas", "model.optimizer.bettas: AdamW has no such setting; did you"),
    "trainer callbacks 0 init_args": ("cuont", "trainer.callbacks.cuont: Pictures has no such setting; did you mean"),
    "model": ("network", "model: a class has the keys class_path and init_args alone"),
    "model init_args optimizer": ("initargs", "model.optimizer: a class has the keys class_path and init_args alone"),
    "trainer callbacks 0": ("initargs", "trainer.callbacks: a class has the keys class_path and init_args alone"),
}


def validated(folder: Path, place: str, name: str, value: object) -> Answer:
    """Validate the quickstart SSD with one more setting in a group; a number in the place is a position in a list."""
    content = yaml.safe_load((ROOT / "experiments/quickstart/ssd.yaml").read_text())
    group = content
    for part in place.split():
        group = group[int(part)] if part.isdigit() else group.setdefault(part, {})
    group[name] = value
    (folder / "x.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return litcv("validate", "--config", str(folder / "x.yaml"), *HERE)


@pytest.mark.parametrize("value", [{}, None, {"max_steps": 3}], ids=repr)
def test_an_unknown_name_at_the_top_of_a_file_is_refused(value: object, tmp_path: Path) -> None:
    answer = validated(tmp_path, "", "trianer", value)
    name = "trianer.max_steps" if value == {"max_steps": 3} else "trianer"
    said = f"litcv: error: {tmp_path / 'x.yaml'}: {name}: there is no such setting; did you mean trainer?"
    assert (answer.code, answer.errors) == (2, [said])


@pytest.mark.parametrize("value", [{}, None], ids=repr)
@pytest.mark.parametrize("place", UNKNOWN)
def test_an_unknown_name_without_a_value_is_refused(place: str, value: object, tmp_path: Path) -> None:
    name, sentence = UNKNOWN[place]
    answer = validated(tmp_path, place, name, value)
    assert answer.code == 2
    assert answer.errors[-1].startswith(f"litcv: error: {sentence}")


@pytest.mark.parametrize(
    "place",
    [("model init_args network init_args", "size"), ("trainer", "min_epochs"), ("model init_args", "scheduler")],
)
def test_an_empty_mapping_is_no_value(place: tuple[str, str], tmp_path: Path) -> None:
    answer = validated(tmp_path, *place, {})
    assert answer.code == 2
    assert f"{place[1]}: expects a" in answer.errors[-1]
    assert ", not {}" in answer.errors[-1]


@pytest.mark.parametrize(
    "place", [("", "run"), ("trainer callbacks 0", "init_args"), ("data init_args", "shapes"), ("", "weights_only")]
)
def test_a_known_group_may_be_empty(place: tuple[str, str], tmp_path: Path) -> None:
    answer = validated(tmp_path, *place, {} if place[1] != "weights_only" else None)
    assert "nowhere" in answer.errors[-1], answer.errors


@pytest.mark.parametrize("text", ["2024_01", "1e3", "0x10", "on", "1:30", "1.10"])
def test_a_text_that_yaml_reads_as_another_type_is_refused_in_a_file(text: str, tmp_path: Path) -> None:
    content = (ROOT / "experiments/quickstart/ssd.yaml").read_text()
    (tmp_path / "x.yaml").write_text(f"{content}run:\n  group: {text}\n")
    answer = litcv("validate", "--config", str(tmp_path / "x.yaml"), *HERE)
    assert answer.code == 2
    assert answer.errors[-1].startswith("litcv: error: run.group: expects text, not ")
    assert answer.errors[-1].endswith(", which YAML reads as another type; put the text in quotes.")


def test_a_name_that_appears_twice_is_refused(tmp_path: Path) -> None:
    twice = tmp_path / "x.yaml"
    twice.write_text((ROOT / "experiments/quickstart/ssd.yaml").read_text() + "trainer: {max_steps: 3}\n")
    answer = litcv("fit", str(twice))
    assert answer.code == 1
    assert answer.errors[-1].startswith(f"litcv: error: {twice}: not valid YAML (`trainer` appears twice")
    twice.write_text((ROOT / "sweeps/quickstart.yaml").read_text() + "parameters: {seed_everything: {values: [1]}}\n")
    answer = litcv("sweep", str(twice), "--dry-run")
    assert answer.code == 1
    assert "`parameters` appears twice" in answer.errors[-1]


@pytest.mark.parametrize("given", ["ReduceLROnPlateau", "{class_path: torch.optim.lr_scheduler.ReduceLROnPlateau}"])
def test_a_schedule_that_needs_a_metric_is_refused_by_every_name(given: str, tmp_path: Path) -> None:
    args = ("experiments/quickstart/ssd.yaml", f"--model.scheduler={given}", f"--run.root={tmp_path}", HERE[0])
    data = (f"--data.root={tmp_path}", "--data.shapes.train=4", "--data.shapes.val=2")
    answer = litcv("fit", *args, *data, "--trainer.fast_dev_run=true")
    assert answer.code != 0
    assert answer.errors[-1].startswith("litcv: error: model.scheduler: ReduceLROnPlateau waits for a metric")


def test_a_repeated_option_says_which_value_counts(tmp_path: Path) -> None:
    file = "experiments/quickstart/ssd.yaml"
    for args, notes in (
        (["--trainer.max_steps=1", "--model.init_args.loss_weights.box=2", "--trainer.max_steps", "3"],
         ["note: --trainer.max_steps is given 2 times (1, then 3); the last counts."]),
        (["--trainer.max_steps=3", "--trainer.max_steps=3.0", "--trainer.callbacks+=A", "--trainer.callbacks.monitor=a",
          "--trainer.callbacks+=B", "--trainer.callbacks.monitor=b"], []),
    ):  # fmt: skip
        answer = litcv("fit", file, *args, f"--run.root={tmp_path}", "--no.such=1")
        assert (answer.code, answer.errors[:-1]) == (2, notes)
    answer = litcv("report", str(tmp_path), "--metric=a", "--wandb=x", "--wandb=y", "--metric=b")
    assert answer.errors[0] == "note: --metric is given 2 times (a, then b); the last counts."
    assert answer.errors[1].startswith("litcv: error: ")

"""From the exports of labeling tools to a trained network with `litcv doctor`, `litcv new` and what they print."""

import re
import shlex
from pathlib import Path

import pytest
import torch
import yaml

from datamodules.base import DataModule
from lit_cv.cli import main
from lit_cv.runs.folder import run_folder
from lit_cv.training.experiment import parsed
from lit_cv.training.from_data import data_module
from tests.commands.same_exports import EXPORTS, NUMBERS, PARTS
from tests.helpers.exports import CLASSES, boxes, picture

Samples = list[tuple[str, torch.Tensor, torch.Tensor, list[str]]]
Console = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    for name, write in EXPORTS.items():
        write(folder / name)
    return folder


@pytest.fixture(autouse=True)
def in_the_folder(exports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exports)


def litcv(capsys: Console, *args: str, code: int = 0) -> str:
    assert main(args) == code, capsys.readouterr()
    said = capsys.readouterr()
    return said.out if code == 0 else said.err


def samples(config: Path) -> Samples:
    """All samples of an experiment's data: split, image, boxes and names of the classes."""
    data = data_module(parsed(["fit", "--config", str(config)]).fit)
    assert isinstance(data, DataModule)
    assert data.class_names == CLASSES
    data.prepare_data()
    data.setup()
    found = []
    for split, packed in data.splits.items():
        for index in range(len(packed)):
            image, target = data.dataset(packed, training=False)[0, index]
            names = [data.class_names[label - 1] for label in target["labels"].tolist()]
            found.append((split, image, target["boxes"], names))
    return found


@pytest.fixture(scope="module")
def reference() -> Samples:
    """The samples as the pictures and boxes were made."""
    parts = {part: [number for number in NUMBERS if f"shot {number:02d}" in names] for part, names in PARTS.items()}
    corners = {number: torch.tensor([[x, y, x + w, y + h] for _, x, y, w, h in boxes(number)]) for number in NUMBERS}
    return [
        (
            part,
            torch.from_numpy(picture(number)).permute(2, 0, 1),
            corners[number].float(),
            [CLASSES[kind] for kind, *_ in boxes(number)],
        )
        for part, numbers in parts.items()
        for number in numbers
    ]


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_is_recognized_and_read_as_it_was_made(name: str, capsys: Console, reference: Samples) -> None:
    said = litcv(capsys, "doctor", name)
    assert re.search(
        r"no defect found; (notes: classes of the annotations: 1; )?images: train 19, val 5$", said.rstrip()
    )
    first = next(yaml.safe_load_all(said.partition(f"---\n# {said[2:].partition(':')[0]},")[0]))
    printed = litcv(capsys, "new", name, "--task", "detection", "--weights", "none")
    stem = name.replace(" ", "_")
    experiment = yaml.safe_load(Path(f"{stem}.yaml").read_text())
    settings = experiment["data"]["init_args"]
    assert first["data"]["class_path"] == experiment["data"]["class_path"]
    assert first["data"]["init_args"].items() <= settings.items()
    commands = [shlex.split(line) for line in printed.partition("next:\n")[2].splitlines()]
    assert [command[:2] for command in commands] == [["litcv", verb] for verb in ("fit", "predict", "sweep", "report")]
    assert Path(commands[1][3]).is_dir()
    for own, made in zip(samples(Path(commands[0][2])), reference, strict=True):
        assert (own[0], own[3]) == (made[0], made[3])
        assert all(map(torch.equal, own[1:3], made[1:3]))


DEFECTS = {
    "data.yaml without names": (
        {"data.yaml": b"train: images\n", "images/a.png": b""},
        "lacks the names of the classes",
    ),
    "data.yaml that is no YAML": ({"data.yaml": b"names: [a\n", "images/a.png": b""}, "is no YAML"),
    "cut off JSON": ({"all.json": b'{"images": [{"id": 1, "file_name": "a.png"}], "annotations": ['}, "cut off"),
    "XML without its picture": ({"a.xml": b"<annotation><object><name>x</name></object></annotation>"}, "data.images"),
    "nothing known": ({"a.png": b""}, "has no form of data that is known"),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_damaged_data_is_explained_in_a_sentence(name: str, tmp_path: Path, capsys: Console) -> None:
    files, said = DEFECTS[name]
    for file, content in files.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(content)
    assert main(["doctor", str(tmp_path)]) == 1
    out = "".join(capsys.readouterr())
    assert said in out
    assert "Traceback" not in out


def test_a_folder_takes_no_settings(capsys: Console) -> None:
    assert "--data.seed=1 is a setting, but a folder has none" in litcv(
        capsys, "doctor", "cvat", "--data.seed=1", code=2
    )


@pytest.mark.slow
def test_the_printed_commands_train_and_predict(capsys: Console) -> None:
    printed = litcv(capsys, "new", "one file", "--task", "detection", "--weights", "none", "--name", "trained one")
    fit, predict, sweep, _ = [shlex.split(line)[1:] for line in printed.partition("next:\n")[2].splitlines()]
    small = ["--model.network.backbone=tiny", "--model.network.min_size=48", "--model.network.max_size=64"]
    options = [*fit, *small, "--trainer.max_steps=2", "--trainer.val_check_interval=2", "--run.wandb=disabled"]
    folder = run_folder(["fit", "--config", *options[1:]])
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")  # of a start that ended before it saved anything
    assert main(options) == 0
    assert "an earlier start of this run saved nothing, so it begins again" in capsys.readouterr().err
    output = Path(re.findall(r"predictions: (.*)", litcv(capsys, *predict))[0])
    assert len(list(output.glob("*.png"))) == len(NUMBERS)
    assert output.parent.parent == Path("runs/trained_one")
    assert len(litcv(capsys, *sweep, "--dry-run", "--no-measure").splitlines()) >= 6

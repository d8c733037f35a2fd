"""The predictions of a run in the formats of evaluation servers."""

from pathlib import Path
from typing import Any, Literal

import orjson

from datamodules.base import DataModule
from datamodules.pose.mpii import MPIIPoseDataModule
from datamodules.voc.datamodule import VOCDataModule
from lit_cv.errors import UserError
from lit_cv.predictions.coco_json import KINDS, result_rows
from lit_cv.predictions.files import Predictions
from lit_cv.predictions.mpii_mat import write_mat
from lit_cv.predictions.records import PIXELS
from lit_cv.predictions.voc_files import write_detections, write_masks
from lit_cv.runs.files import replaced
from lit_cv.training.experiment import parsed
from lit_cv.training.from_data import data_module
from lit_cv.training.scoring.kept import FOLDER

Form = Literal["coco", "voc", "png", "mpii"]
NEEDED: dict[Form, tuple[str, ...]] = {
    "coco": ("boxes", "labels", "scores"),
    "voc": ("boxes", "labels", "scores"),
    "png": (PIXELS,),
    "mpii": ("keypoints",),
}
FORMS: tuple[Form, ...] = tuple(NEEDED)


def export_results(run: Path, form: Form, name: str, output: Path | None = None) -> list[Path]:
    """Write predictions of a run as an evaluation server takes them; return the files.

    Args:
        run: Folder of the run.
        form: ``coco``: results JSON, one file for boxes, masks and keypoints each; ``voc``: the devkit's text files, or
            PNGs of class masks; ``png``: PNGs of class masks alone; ``mpii``: the evaluation's .mat.
        name: Folder of the predictions: ``val``, ``val_best`` or ``test`` in `RUN/predictions`, or with the name of a
            folder that an evaluation of other weights or with test-time augmentation has left, ``predictions_ema/val``.
        output: Folder of the results; None: `RUN/results`, `RUN/results_ema` and so on.

    Raises:
        UserError: The run has no such predictions, or the form is for others.
    """
    holder, _, name = name.rpartition("/")
    folder = run / (holder or FOLDER) / name
    output = output or run / (holder or FOLDER).replace(FOLDER, "results")
    if not folder.is_dir():
        raise UserError(f"{folder}: there are no predictions; write them with `{_evaluation(run, holder, name)}`.")
    predictions = Predictions.open(folder)
    _check(predictions, form)
    data = _opened(run, predictions)
    if form == "coco":
        return _write_coco(predictions, data, output, name)
    if form == "mpii":
        if not isinstance(data, MPIIPoseDataModule):
            raise UserError(f"--results mpii: {type(data).__name__} does not have MPII's people; choose another form.")
        return [write_mat(predictions, data, output)]
    names = data.ids(predictions.split).images
    if form == "png":
        return write_masks(predictions, names, output)
    year, listed = _challenge(data, predictions.split)
    place = output / "results" / f"VOC{year}"
    if PIXELS in predictions.columns:
        return write_masks(predictions, names, place / "Segmentation" / f"comp6_{listed}_cls")
    competition = "comp4" if _uses_other_data(parsed(["fit", "--config", str(run / "config.yaml")]).fit) else "comp3"
    return write_detections(predictions, data.ids(predictions.split), place / "Main", f"{competition}_det_{listed}")


def _evaluation(run: Path, holder: str, name: str) -> str:
    options = [" --weights ema"] * ("_ema" in holder) + [" --tta '{}'"] * ("_tta" in holder)
    return f"litcv {'test' if name == 'test' else 'validate'} {run}{''.join(options)}"


def _check(predictions: Predictions, form: Form) -> None:
    columns = {*predictions.columns}
    needed = (PIXELS,) if form == "voc" and PIXELS in columns else NEEDED[form]
    poses = form == "mpii" and "boxes" in columns
    if poses or not columns.issuperset(needed):
        fits = [other for other, names in NEEDED.items() if columns.issuperset(names) and not (
            other == "mpii" and "boxes" in columns)]  # fmt: skip
        fits += ["voc"] if PIXELS in columns else []
        advice = f"choose {' or '.join(fits)}" if fits else "no form fits them"
        raise UserError(f"--results {form}: {predictions.folder} holds {', '.join(predictions.columns)}; {advice}.")


def _opened(run: Path, predictions: Predictions) -> DataModule[Any]:
    data = data_module(parsed(["fit", "--config", str(run / "config.yaml")]).fit)
    if not isinstance(data, DataModule):
        raise UserError(f"{type(data).__name__} is no subclass of datamodules.base.DataModule; use one.")
    data.prepare_data()
    data.setup("validate")
    names = data.image_names(predictions.split)
    for image, name in zip(predictions.image_ids.tolist(), predictions.names, strict=True):
        if image >= len(names) or names[image] != name:
            raise UserError(f"{predictions.folder}: the data no longer has {name} as image {image}; evaluate again.")
    return data


def _write_coco(predictions: Predictions, data: DataModule[Any], output: Path, name: str) -> list[Path]:
    output.mkdir(parents=True, exist_ok=True)
    ids, files = data.ids(predictions.split), []
    for kind, column in KINDS.items():
        if column in predictions.columns:
            files.append(output / f"{name}_{kind}.json")
            with replaced(files[-1]) as temporary, temporary.open("wb") as file:
                for number, row in enumerate(result_rows(predictions, ids, kind)):
                    file.write((b",\n" if number else b"[") + orjson.dumps(row))
                file.write(b"]\n" if predictions.has_rows else b"[]\n")
    return files


def _challenge(data: DataModule[Any], split: str) -> tuple[str, str]:
    """Return year and list of VOC's images that a split has; 2012 and the split's name for other images."""
    sets = data.voc.sets[split] if isinstance(data, VOCDataModule) else []
    year, _, listed = sets[0].partition("_") if len(sets) == 1 else ("2012", "", split)
    return year, listed


def _uses_other_data(experiment: Any) -> bool:
    """Tell whether the network was trained on more than the challenge's data: its weights start from others."""
    settings = experiment.model.init_args
    network = settings.network.init_args
    others = (network.get("weights"), settings.get("initial_weights"), experiment.get("ckpt_path"))
    return any(value is not None for value in others)

"""Evaluate predictions again from their files: the data's targets, the task's metrics, and no network."""

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import lightning as L
from torch import nn

from datamodules.base import DataModule
from lit_cv.contract import Batch
from lit_cv.errors import UserError
from lit_cv.predictions.coco_results import COCOResults
from lit_cv.predictions.files import Predictions
from lit_cv.predictions.records import PIXELS
from lit_cv.runs.prose import say
from lit_cv.tasks.base import Task
from lit_cv.training.from_data import data_module, named_class
from lit_cv.training.live import EvaluationLine
from lit_cv.training.scoring.kept import task_names

HEADS = {"masks": "mask", "keypoints": "keypoint"}  # column to the head of a network for instances
BOXES = {"DetectionTask", "InstanceTask"}  # tasks whose predictions are boxes with labels and scores


class Stand(nn.Module):
    """The facts about a network that the metrics of a task ask for.

    Args:
        facts: Its attributes.
    """

    loss_names: tuple[str, ...] = ()

    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__()
        for name, value in facts.items():
            setattr(self, name, value)


class Lookup:
    """The predictions of a file by ``image_id``, checked against the data that they are evaluated on.

    Args:
        path: A folder of predictions, or a COCO results file.
        data: The opened data.
        split: ``val`` or ``test``.

    Raises:
        UserError: The predictions are of other classes or images.
    """

    def __init__(self, path: Path, data: DataModule[Any], split: str) -> None:
        self.path, self.split = path, split
        self.names = data.image_names(split)
        self.own = Predictions.open(path) if path.is_dir() else None
        if self.own:
            self._places = {number: place for place, number in enumerate(self.own.image_ids.tolist())}
            self._check(self.own, data)
        else:
            loader: Any = data.val_dataloader() if split == "val" else data.test_dataloader()
            self._others = COCOResults(path, data.ids(split), loader.dataset.sizes)

    @property
    def columns(self) -> Sequence[str]:
        """Names of the columns of a prediction."""
        return list(self.own.columns) if self.own else self._others.columns

    def of_image(self, image_id: int, size: list[int]) -> dict[str, Any]:
        """Return the prediction for an image of a size, width and height in pixels.

        Raises:
            UserError: There is none, or it is of another size.
        """
        if self.own is None:
            return self._others.of_image(image_id)
        if image_id not in self._places:
            raise UserError(
                f"{self.path}: has no prediction for {self.names[image_id]}, but for {len(self.own)} of the "
                f"{len(self.names)} {self.split} images; evaluate the run on all of them."
            )
        place = self._places[image_id]
        if (others := self.own.sizes[place].tolist()) != size:
            raise UserError(
                f"{self.path}: was written when {self.names[image_id]} had {others[0]}x{others[1]} pixels, but it has "
                f"{size[0]}x{size[1]}; evaluate the run again."
            )
        return self.own[place]

    def _check(self, own: Predictions, data: DataModule[Any]) -> None:
        if own.class_names != list(data.class_names):
            raise UserError(
                f"{self.path}: is of the classes {_shown(own.class_names)}, but the data has "
                f"{_shown(data.class_names)}; choose the data of these predictions."
            )
        for number, name in zip(own.image_ids.tolist(), own.names, strict=True):
            if number >= len(self.names) or self.names[number] != name:
                place = self.names[number] if number < len(self.names) else f"{len(self.names)} images"
                raise UserError(
                    f"{self.path}: is of other images: image {number} is {name}, the {self.split} data has {place}; "
                    "choose the data and the split of these predictions."
                )
        if own.meta["data"] not in (None, data.fingerprint):
            say(
                f"note: {self.path} was written with other annotations (fingerprint {own.meta['data']}, now "
                f"{data.fingerprint}) of the same images; those of now are evaluated."
            )


def rescore(path: Path, experiment: Any, split: str | None) -> dict[str, float]:
    """Evaluate predictions on the data and with the metrics of an experiment.

    Args:
        path: A folder of predictions, or a COCO results file.
        experiment: The `model`, `data` and `trainer` of a parsed experiment.
        split: ``val`` or ``test``; None takes that of the predictions, or ``val``.

    Returns:
        The numbers of ``validate`` or ``test`` that follow from predictions.

    Raises:
        UserError: The predictions do not fit the task or the data.
    """
    kind = named_class(experiment.model.class_path)
    own = Predictions.open(path) if path.is_dir() else None
    if own and own.split not in ("val", "test"):
        raise UserError(
            f"{path}: is of pictures without targets (litcv predict), which have no score; give val or test."
        )
    split = split or (own.split if own else "val")
    check_kind(path, kind, own)
    return scored(path, experiment, open_data(experiment, split), split, callbacks=[EvaluationLine()])


def open_data(experiment: Any, split: str) -> DataModule[Any]:
    """Return the opened data of an experiment, without its pictures.

    Raises:
        UserError: It is missing, or no ``DataModule`` of this project.
    """
    data = data_module(experiment)
    if not isinstance(data, DataModule):
        raise UserError(f"{type(data).__name__} is no subclass of datamodules.base.DataModule; use one.")
    data.targets_only, data.num_workers = True, 0
    data.prepare_data()
    data.setup("validate" if split == "val" else "test")
    return data


def scored(
    path: Path,
    experiment: Any,
    data: DataModule[Any],
    split: str,
    extend: Callable[[type[Task]], type[Task]] = lambda kind: kind,
    callbacks: Sequence[L.Callback] = (),
) -> dict[str, float]:
    """Evaluate predictions on opened data; see ``rescore``.

    Args:
        path: The predictions.
        experiment: The `model`, `data` and `trainer` of a parsed experiment.
        data: See ``open_data``.
        split: ``val`` or ``test``.
        extend: Derives a class from that of the task which takes its predictions from the file.
        callbacks: For the Trainer.
    """
    kind = named_class(experiment.model.class_path)
    lookup = Lookup(path, data, split)
    given = ["mask" if column == PIXELS else column for column in lookup.columns]
    if missing := [name for name in kind.FOUND if name not in given]:
        raise UserError(f"{path}: has no {missing[0]}, which {kind.__name__} evaluates; choose the right experiment.")
    limits = {f"limit_{split}_batches": experiment.trainer[f"limit_{split}_batches"]}
    trainer = L.Trainer(
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False, accelerator="cpu", devices=1, callbacks=list(callbacks), **limits,
    )  # fmt: skip
    evaluate = trainer.validate if split == "val" else trainer.test
    try:
        task = rescoring_task(kind, experiment.model.init_args, data, lookup, extend)
        evaluate(task, datamodule=data, verbose=False)
    except ValueError as error:  # a metric refuses what it is given
        raise UserError(f"{path}: {kind.__name__} cannot evaluate it on these targets: {error}.") from error
    return {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}


def check_kind(path: Path, kind: type[Task], own: Predictions | None) -> None:
    """Check that predictions are those of a task.

    Raises:
        UserError: They are of another one.
    """
    names = set(task_names(kind))
    given = set(own.tasks) if own else {"DetectionTask"}
    if names & given or (names & BOXES and given & BOXES):
        return
    what = f"are those of {own.tasks[0]}" if own else "hold boxes"
    raise UserError(f"{path}: its predictions {what}, but the experiment has a {kind.__name__}; choose another one.")


def rescoring_task(
    kind: type[Task],
    settings: Any,
    data: DataModule[Any],
    lookup: Lookup,
    extend: Callable[[type[Task]], type[Task]] = lambda kind: kind,
) -> Task:
    """Return a task that takes its predictions from a file.

    Args:
        kind: The task's class.
        settings: Its parsed arguments; those of the training are left out.
        data: The opened data.
        lookup: The predictions.
        extend: See ``scored``.
    """
    columns = lookup.columns
    heads = settings.network.init_args.get("heads") or []
    for column, head in HEADS.items():
        if head in heads and column not in columns:
            say(f"note: {lookup.path} has no {column}, so their metrics are left out.")
    facts: dict[str, Any] = {kind.SIZE: kind.size(data).value}
    facts |= {"heads": [head for column, head in HEADS.items() if column in columns], "num_classes": facts[kind.SIZE]}
    if "keypoints" in columns and hasattr(data, "joint_names"):
        facts["num_keypoints"] = len(data.joint_names)
    others = signature(Task.__init__).parameters
    options = {name: value for name, value in vars(settings).items() if name not in others}

    class Rescoring(kind):  # type: ignore[misc, valid-type]
        def validation_step(self, batch: Batch, batch_idx: int) -> list[Any]:
            sizes = [[image.shape[2], image.shape[1]] for image in batch[0]]
            ids = [int(target["image_id"]) for target in batch[1]]
            found = [lookup.of_image(*pair) for pair in zip(ids, sizes, strict=True)]
            self.update_metrics(found, batch[1])
            return found

        def compute_metrics(self) -> dict[str, Any]:
            values: dict[str, Any] = super().compute_metrics()
            return {name: value for name, value in values.items() if name not in kind.OF_NETWORK}

    Rescoring.__name__ = kind.__name__
    made: Any = extend(Rescoring)
    task: Task = made(Stand(facts), **options)
    task.mean_losses = nn.ModuleDict()
    return task


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])}, ... ({len(names)})"

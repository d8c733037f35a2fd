"""Open a run's predictions with their targets, for an analysis, and write it."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from datamodules.base import DataModule
from lit_cv.analysis.contract import Analysis, Objects
from lit_cv.analysis.files import write_analysis
from lit_cv.analysis.kinds import analysis_of
from lit_cv.contract import Sample
from lit_cv.errors import UserError
from lit_cv.predictions.files import Predictions, is_predictions
from lit_cv.renderers import BoxRenderer
from lit_cv.renderers.base import Renderer
from lit_cv.runs.prose import say
from lit_cv.tasks.base import Task
from lit_cv.training.experiment import parsed
from lit_cv.training.from_data import data_module, named_class
from lit_cv.training.scoring.kept import FOLDER
from lit_cv.training.scoring.rescoring import Lookup, check_kind

COMMANDS = {"val": "validate", "test": "test"}


class EvaluatedRun:
    """The predictions of a run with their targets; see ``lit_cv.analysis.contract.Evaluated``.

    Args:
        folder: Folder of the run.
        split: ``val``, ``val_best`` or ``test``: a folder of predictions.

    Raises:
        UserError: The run has no predictions, or they do not fit its data and its task.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self.folder, self.name = folder, f"{folder.resolve().parent.name}/{folder.resolve().name}"
        path = folder / FOLDER / split
        if not is_predictions(path):
            verb = COMMANDS.get(split)
            make = f"make them with `litcv {verb} {folder}`" if verb else "a training with a checkpoint leaves them"
            raise UserError(f"{folder}: has no predictions of {split} ({path}); {make}.")
        self.predictions = Predictions.open(path)
        experiment = parsed(["fit", "--config", str(folder / "config.yaml")]).fit
        self.kind: type[Task] = named_class(experiment.model.class_path)
        self.settings: Mapping[str, Any] = vars(experiment.model.init_args)
        check_kind(path, self.kind, self.predictions)
        data = data_module(experiment)
        if not isinstance(data, DataModule):
            raise UserError(f"{type(data).__name__} is no subclass of datamodules.base.DataModule; use one.")
        data.prepare_data()
        data.setup("test" if self.predictions.split == "test" else "validate")
        data.remembered.confirm()
        self.lookup = Lookup(path, data, self.predictions.split)
        self.data = data
        if missing := len(self.lookup.names) - len(self):
            say(
                f"note: {path} has no predictions for {missing} of {len(self.lookup.names)} images, which are left out."
            )

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.predictions)

    def __iter__(self) -> Iterator[tuple[Objects, Objects]]:
        """Yield the prediction and the target of each image; targets have no pictures."""
        for image_id in self.predictions.image_ids.tolist():
            image, target = self._blank[image_id]
            yield self.lookup.of_image(image_id, [image.shape[2], image.shape[1]]), target

    def image(self, image_id: int) -> Tensor:
        """Return an image, uint8 (3, H, W) RGB."""
        return self._drawn[image_id][0]

    def target(self, image_id: int) -> Objects:
        """Return the target of an image."""
        return self._blank[image_id][1]

    def found(self, image_id: int) -> Objects:
        """Return the prediction of an image, on the CPU."""
        return self.lookup.of_image(image_id, list(self.image(image_id).shape[:0:-1]))

    def renderer(self, score_threshold: float) -> Renderer:
        """Return the task's renderer."""
        renderer = self.kind.target_renderer(self.data)
        if isinstance(renderer, BoxRenderer):
            renderer.score_threshold = score_threshold
        return renderer

    @cached_property
    def _blank(self) -> Dataset[Sample]:
        return self._samples(targets_only=True)

    @cached_property
    def _drawn(self) -> Dataset[Sample]:
        return self._samples(targets_only=False)

    def _samples(self, *, targets_only: bool) -> Dataset[Sample]:
        data = self.data
        data.targets_only = targets_only
        return data.samples(data.splits[self.predictions.split], training=False, cached=False)


def analyze_run(folder: Path, split: str, output: Path) -> tuple[Analysis, Path]:
    """Analyze the predictions of a run and write the analysis; return it with its page.

    Args:
        folder: Folder of the run.
        split: Folder of predictions: ``val``, ``val_best`` or ``test``.
        output: Folder of the analysis.

    Raises:
        UserError: See ``EvaluatedRun`` and ``write_analysis``.
    """
    run = EvaluatedRun(folder, split)
    analysis = analysis_of(run.predictions.tasks, run.predictions.folder)(run)
    return analysis, write_analysis(output, analysis, record_of(run, split))


def record_of(run: EvaluatedRun, split: str) -> dict[str, Any]:
    """Return what an analysis is of, by which an older one of the same predictions is known."""
    meta = run.predictions.meta
    return {"run": run.name, "split": split, **{name: meta.get(name) for name in ("weights", "data", "step")}}

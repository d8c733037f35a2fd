"""Open a run's predictions with their targets, for an analysis, and write it."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from datamodules.base import DataModule
from lit_cv.analysis.comparison import check_same, compare
from lit_cv.analysis.contract import Analysis, Objects
from lit_cv.analysis.files import FOLDER as ANALYSIS
from lit_cv.analysis.files import IDENTITY, is_current, read_numbers, write_analysis
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
from lit_cv.training.noise import quiet
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
            make = f"make them with `litcv {verb} {folder}`" if verb else "a training leaves them when it saves best.ckpt"
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
    analysis = _analysis(run)
    return analysis, write_analysis(output, analysis, record_of(run, split))


def compare_runs(folders: tuple[Path, Path], split: str, output: Path) -> tuple[Analysis, Path]:
    """Compare the predictions of two runs, and write the comparison; see ``analyze_run``.

    Raises:
        UserError: Also if the runs are of other images, classes or tasks.
    """
    first, second = (EvaluatedRun(folder, split) for folder in folders)
    check_same(first, second)
    analysis = compare(first, second, (_analysis(first), _analysis(second)))
    return analysis, write_analysis(output, analysis, {"of": [record_of(run, split) for run in (first, second)]})


def analyze_missing(runs: Sequence[Path], pairs: Sequence[tuple[Path, Path]]) -> None:
    """Analyze the latest validation of runs, and compare pairs of them, with progress bars.

    Analyses of the same predictions are kept. Runs without predictions are left out, with a note.

    Args:
        runs: Folders of runs.
        pairs: Runs to compare; the comparison is in the folder of the second one.

    Raises:
        UserError: See ``EvaluatedRun``.
    """
    known = {run for run in runs if is_predictions(run / FOLDER / "val")}
    if missing := len(runs) - len(known):
        say(f"note: {missing} of {len(runs)} runs have no predictions of val; make them with `litcv validate RUN`.")
    with quiet():
        for run in tqdm([run for run in runs if run in known and not _is_current(run)], "analyses"):
            analyze_run(run, "val", run / ANALYSIS)
        for first, second in tqdm([pair for pair in pairs if known >= set(pair)], "comparisons"):
            _compare_missing(first, second)


def _compare_missing(first: Path, second: Path) -> None:
    place = second / f"{ANALYSIS}_beside_{first.name}"
    known = read_numbers(place)
    if known is None or not all(is_current(run, of) for run, of in zip((first, second), known[1]["of"], strict=True)):
        compare_runs((first, second), "val", place)


def _is_current(folder: Path) -> bool:
    own = read_numbers(folder / ANALYSIS)
    return own is not None and is_current(folder, own[1])


def _analysis(run: EvaluatedRun) -> Analysis:
    return analysis_of(run.predictions.tasks, run.predictions.folder)(run)


def record_of(run: EvaluatedRun, split: str) -> dict[str, Any]:
    """Return what an analysis is of, by which an older one of the same predictions is known."""
    meta = run.predictions.meta
    return {"run": run.name, "split": split, **{name: meta.get(name) for name in IDENTITY}}

"""Metrics of runs on resampled images, from their predictions."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torchmetrics import Metric
from tqdm import tqdm

from datamodules.base import DataModule
from lit_cv.errors import UserError
from lit_cv.metrics.resampling.resample import Matches, bootstrap, multiplicities
from lit_cv.predictions.files import Predictions
from lit_cv.runs.files import read_yaml
from lit_cv.runs.resamples import RESAMPLES, SEED, Resamples, write_resamples
from lit_cv.runs.settings import canonical
from lit_cv.tasks.base import Predictions as Found
from lit_cv.tasks.base import Targets, Task
from lit_cv.training.experiment import parsed
from lit_cv.training.from_data import named_class
from lit_cv.training.noise import quiet
from lit_cv.training.scoring.matches import image_states, matches, stacked
from lit_cv.training.scoring.rescoring import check_kind, open_data, scored


def resample_runs(folders: Sequence[Path], metric: str) -> dict[Path, str]:
    """Resample the images of some runs' predictions, and keep the metric of each resample beside them.

    All runs have the same resamples of the same images. Runs of equal data settings share the opened data.

    Args:
        folders: Folders of predictions, ``RUN/predictions/val``.
        metric: Logged name, ``val/map``.

    Returns:
        The first folder that cannot be resampled, with the reason: without it, no arms can be compared. Empty if all
        can.
    """
    name = metric.partition("/")[2]
    settings = {folder: canonical(read_yaml(_config(folder)).get("data")) for folder in folders}
    opened: tuple[str, DataModule[Any]] | None = None
    bar = tqdm(total=len(folders) * RESAMPLES, desc="Resampling images", unit="set", delay=1, disable=None)
    with bar, quiet():
        for folder in sorted(folders, key=lambda folder: settings[folder]):
            bar.set_postfix_str(folder.parents[1].name)
            try:
                experiment = parsed(["fit", "--config", str(_config(folder))]).fit
                if opened is None or opened[0] != settings[folder]:
                    opened = settings[folder], open_data(experiment, "val")
                write_resamples(folder, name, _resampled(folder, experiment, opened[1], name, bar.update))
            except UserError as error:
                return {folder: str(error)}
    return {}


def _config(folder: Path) -> Path:
    return folder.parents[1] / "config.yaml"


def _resampled(
    folder: Path, experiment: Any, data: DataModule[Any], name: str, progress: Callable[[int], object]
) -> Resamples:
    found, ids = collect_matches(folder, experiment, data, [name])
    # several people of one image are resampled together
    every = data.image_names("val")
    names, units = np.unique([every[number] for number in ids], return_inverse=True)
    weights = multiplicities(len(names), RESAMPLES, SEED)
    result = bootstrap(found[name], weights, units.reshape(-1).astype(np.int64), progress)
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
    return Resamples(result.whole, result.values, result.incomplete, len(names), digest)


def collect_matches(
    folder: Path, experiment: Any, data: DataModule[Any], names: Sequence[str]
) -> tuple[dict[str, Matches], list[int]]:
    """Evaluate predictions of a validation for some numbers at once.

    Args:
        folder: The predictions.
        experiment: The `model`, `data` and `trainer` of a parsed experiment.
        data: Its opened data.
        names: Numbers that its task logs, without ``val/``.

    Returns:
        The matches for each number, and the ids of the images in their order.

    Raises:
        UserError: The predictions do not fit the task or the data, or a number does not follow from them.
    """
    check_kind(folder, named_class(experiment.model.class_path), Predictions.open(folder))
    collected: list[tuple[dict[str, Matches], list[int]]] = []

    def collecting(kind: type[Task]) -> type[Task]:
        class Collecting(kind):  # type: ignore[misc, valid-type]
            def on_validation_epoch_start(self) -> None:
                super().on_validation_epoch_start()
                self.ids, self.states = list[int](), list[Any]()

            def update_metrics(self, found: Found, targets: Targets) -> None:
                for one, target in zip(found, targets, strict=True):
                    super().update_metrics([one], [target])
                    self.ids.append(int(target["image_id"]))
                    self.states.append(image_states(self))

            def compute_metrics(self) -> dict[str, Any]:
                states = stacked(self.states, np.argsort(self.ids, kind="stable"))
                collected.append(({name: matches(self, name, states) for name in names}, sorted(self.ids)))
                for part in self.modules():
                    if isinstance(part, Metric):
                        part.reset()
                return {}

        Collecting.__name__ = kind.__name__
        return Collecting

    scored(folder, experiment, data, "val", collecting)
    return collected[0]

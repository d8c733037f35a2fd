"""The predictions of all six tasks survive their file exactly, and give the digits of `validate`."""

import math
from pathlib import Path

import numpy as np
import pytest

from lit_cv.predictions.files import Predictions
from lit_cv.runs.resamples import RESAMPLES, read_resamples
from lit_cv.training.experiment import parsed
from lit_cv.training.scoring.bootstrap import collect_matches, resample_runs
from lit_cv.training.scoring.rescoring import open_data
from tests.predictions.guesses import EXPERIMENTS, differing, evaluated, generator, scored_again

OF_THE_NETWORK = {"val/checkerboard"}
IN_OTHER_COLUMNS = {"tokens"}  # as phrases


@pytest.mark.parametrize("kind", EXPERIMENTS)
def test_files_hold_predictions_exactly_and_give_the_digits_of_validate(kind: str, tmp_path: Path) -> None:
    cli = evaluated(kind, tmp_path)
    folder, measured = tmp_path / "predictions" / "val", cli.trainer.callback_metrics
    again = scored_again(folder, tmp_path)
    losses = {f"val/{name}" for name in cli.model.mean_losses}
    assert again.keys() == measured.keys() - losses - OF_THE_NETWORK
    assert all(value == float(measured[name]) or math.isnan(value) for name, value in again.items())
    assert any(0 < value < 1 for value in again.values())

    # Each number follows from matches, too, which are then resampled.
    experiment = parsed(["fit", "--config", str(tmp_path / "config.yaml")]).fit
    names = [name.removeprefix("val/") for name in again]
    matches, ids = collect_matches(folder, experiment, open_data(experiment, "val"), names)
    wholes = {f"val/{name}": one.values(np.ones((1, len(ids)), np.uint8))[0] for name, one in matches.items()}
    assert wholes == pytest.approx(again, abs=1e-9, nan_ok=True)
    assert resample_runs([folder], cli.model.MONITOR) == {}
    kept = read_resamples(folder, cli.model.MONITOR.removeprefix("val/"))
    assert kept is not None
    images = len(set(cli.datamodule.image_names("val")))
    assert (kept.whole, kept.images) == (pytest.approx(again[cli.model.MONITOR]), images)
    assert kept.values.shape == (RESAMPLES,)
    assert np.nanstd(kept.values) > 0
    assert [*resample_runs([folder], "val/loss").values()] == [
        f"{type(cli.model).__name__} has no rule for loss on resampled images."
    ]

    stored, data = Predictions.open(folder), cli.datamodule
    assert stored.names == data.image_names("val")
    assert stored.meta["data"] == data.fingerprint
    for index, sample in enumerate(sample for batch in data.val_dataloader() for sample in zip(*batch, strict=True)):
        image, target = sample
        guess = cli.model.guess(image, target, generator(target))
        assert not set(differing(stored[index], guess)) - IN_OTHER_COLUMNS
        assert stored.sizes[index].tolist() == [image.shape[2], image.shape[1]]
    assert index + 1 == len(stored)

"""The predictions of all six tasks survive their file exactly, and give the digits of `validate`."""

import math
from pathlib import Path

import pytest

from lit_cv.predictions.files import Predictions
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

    stored, data = Predictions.open(folder), cli.datamodule
    assert stored.names == data.image_names("val")
    assert stored.meta["data"] == data.fingerprint
    for index, sample in enumerate(sample for batch in data.val_dataloader() for sample in zip(*batch, strict=True)):
        image, target = sample
        guess = cli.model.guess(image, target, generator(target))
        assert not set(differing(stored[index], guess)) - IN_OTHER_COLUMNS
        assert stored.sizes[index].tolist() == [image.shape[2], image.shape[1]]
    assert index + 1 == len(stored)

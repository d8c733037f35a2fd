"""`litcv proposals CONFIG`: the part of an experiment's data that takes long is computed ahead of its runs."""

from collections.abc import Sequence
from pathlib import Path

from datamodules.boxes.datamodule import BoxDataModule
from lit_cv.errors import UserError
from lit_cv.training.experiment import data_module, parsed


def compute_proposals(config: Path, overrides: Sequence[str]) -> None:
    """Compute the proposals of an experiment's images that are missing or stale, and print where they are.

    Args:
        config: an experiment's YAML.
        overrides: dotted options, as for `fit`.

    Raises:
        UserError: bad options, an experiment without proposals, or unusable data.
    """
    data = data_module(parsed(["fit", "--config", str(config), *overrides]))
    if not isinstance(data, BoxDataModule) or data.proposals is None:
        raise UserError(f"{config} attaches no proposals: set data.proposals, for instance --data.proposals.mode=fast.")
    data.fetch()
    for split, (stored, computed, seconds) in data.prepare_proposals(replace=True).items():
        mean = stored.counts["proposals"] / len(stored)
        print(f"{split}: {len(stored)} images, {computed} computed now in {seconds:.1f} s, {mean:.0f} boxes an image")
        print(f"  {stored.folder}")

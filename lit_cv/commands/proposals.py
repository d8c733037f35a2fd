"""`litcv proposals CONFIG`: compute the proposals of an experiment's images ahead of its runs."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from lit_cv.commands.parsers import Verbs, add_config, add_verb, refuse_missing_config
from lit_cv.errors import UserError


def add_parser(verbs: Verbs) -> None:
    """Add `proposals`."""
    parser = add_verb(verbs, "proposals", "compute the proposals of an experiment's images ahead of its runs",
                      "litcv proposals experiments/voc/fast_rcnn_squeezenet.yaml --data.proposals.mode=quality",
                      _run)  # fmt: skip
    add_config(parser)


def _run(options: argparse.Namespace) -> int:
    refuse_missing_config(["--config", str(options.config)])
    compute_proposals(options.config, options.overrides)
    return 0


def compute_proposals(config: Path, overrides: Sequence[str]) -> None:
    """Compute the proposals of an experiment's images that are missing or outdated, and print their folders.

    Args:
        config: An experiment's YAML file.
        overrides: Dotted options, as for `fit`.

    Raises:
        UserError: Bad options, an experiment without proposals, or unusable data.
    """
    from datamodules.boxes.datamodule import BoxDataModule
    from lit_cv.training.experiment import parsed
    from lit_cv.training.from_data import data_module

    data = data_module(parsed(["fit", "--config", str(config), *overrides]).fit)
    if not isinstance(data, BoxDataModule) or data.proposals is None:
        raise UserError(f"{config} attaches no proposals: set data.proposals, for instance --data.proposals.mode=fast.")
    data.fetch()
    for split, (stored, computed, seconds) in data.prepare_proposals(replace=True).items():
        mean = stored.counts["proposals"] / len(stored)
        print(f"{split}: {len(stored)} images, {computed} computed now in {seconds:.1f} s, {mean:.0f} boxes per image")
        print(f"  {stored.folder}")

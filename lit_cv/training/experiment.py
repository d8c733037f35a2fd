"""An experiment, parsed and built without a Trainer."""

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser

from datamodules.base import DataModule
from lit_cv.errors import UserError
from lit_cv.training.arguments.parsing import parse
from lit_cv.training.from_data import data_module, fill_size
from lit_cv.training.lightning_cli import ParserOnly


def parsed(args: Sequence[str]) -> Any:
    """Parse the arguments of a run with the real parser and build nothing; see `parse`."""
    return parse(_parser(), list(args))


def built(config: Any) -> Any:
    """Build the `model` and the `data` of a parsed experiment, in its `fit`, but no Trainer.

    Raises:
        UserError: A setting does not fit its class, or a size of the network is null and its data is missing.
    """
    fill_size(config.fit)
    return _parser().instantiate_classes(config)


def data_fingerprint(args: Sequence[str], *, generate: bool) -> str | None:
    """Return the fingerprint of the data that the arguments of a run name; None if the data is not on this machine.

    Args:
        args: Arguments of a run.
        generate: Whether to generate data that the run would generate (`source: shapes`). Nothing is downloaded.
    """
    data = data_module(parsed(args).fit)
    if not isinstance(data, DataModule):
        return None
    if generate and data.source == "shapes":
        data.prepare_data()
    if not data.root.exists():
        return None
    fingerprint = None
    with suppress(UserError):  # incomplete data
        data.setup()
        fingerprint = data.fingerprint
    data.remembered.confirm()
    return fingerprint


@cache
def _parser() -> LightningArgumentParser:
    return ParserOnly([]).parser

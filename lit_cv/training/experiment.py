"""An experiment, parsed and built without a Trainer."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from lightning.pytorch.cli import LightningArgumentParser

from lit_cv.training.from_data import fill_size
from lit_cv.training.lightning_cli import ParserOnly
from lit_cv.training.parsing import parse


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


@cache
def _parser() -> LightningArgumentParser:
    return ParserOnly([]).parser

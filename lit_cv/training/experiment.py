"""An experiment, parsed and built without a Trainer."""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule
from lightning.pytorch.cli import LightningArgumentParser

from lit_cv.training.lightning_cli import ParserOnly
from lit_cv.training.parsing import parse


def data_module(experiment: Any) -> LightningDataModule:
    """Build the DataModule of a `parsed` experiment, and nothing else of it."""
    parser = LightningArgumentParser()
    parser.add_lightning_class_args(LightningDataModule, "data", subclass_mode=True)
    data: LightningDataModule = parser.instantiate_classes(Namespace(data=experiment.fit.data)).data  # type: ignore[no-untyped-call]
    return data


def parsed(args: Sequence[str]) -> Any:
    """Parse the arguments of a run with the real parser and build nothing; see `parse`."""
    return parse(_parser(), list(args))


def built(config: Any) -> Any:
    """Build the `model` and the `data` of a parsed experiment, in its `fit`, but no Trainer."""
    return _parser().instantiate_classes(config)


@cache
def _parser() -> LightningArgumentParser:
    return ParserOnly([]).parser


def named_class(path: str) -> Any:
    """Return the class of a `class_path`."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)

"""An experiment, parsed and built without a Trainer."""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule
from lightning.pytorch.cli import ArgsType, LightningArgumentParser

from lit_cv.training.lightning_cli import LitCLI
from lit_cv.training.parsing import parse


def data_module(experiment: Any) -> LightningDataModule:
    """Build the DataModule of a `parsed` experiment, and nothing else of it."""
    parser = LightningArgumentParser()
    parser.add_lightning_class_args(LightningDataModule, "data", subclass_mode=True)
    data: LightningDataModule = parser.instantiate_classes(Namespace(data=experiment.fit.data)).data  # type: ignore[no-untyped-call]
    return data


def parsed(args: Sequence[str]) -> Any:
    """Parse the arguments of a run with the real parser, without building anything; see `parse`."""
    return parse(_parser(), list(args))


def built(config: Any) -> Any:
    """Build what `parsed` has read: its `fit` then holds a `model` and a `data`, but no Trainer."""
    return _parser().instantiate_classes(config)


@cache
def _parser() -> LightningArgumentParser:
    class ParserOnly(LitCLI):
        def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
            self.config = Namespace(subcommand=None)  # type: ignore[no-untyped-call]

        def _set_seed(self) -> None: ...
        def instantiate_classes(self) -> None: ...

    return ParserOnly([]).parser


def named_class(path: str) -> Any:
    """The class of a `class_path`."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)

"""What can be known about the trials of a sweep before the first of them starts."""

import re
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.cli import ArgsType, LightningArgumentParser

from lit_cv.arguments import parse
from lit_cv.errors import UsageError, UserError
from lit_cv.tasks.base import Task
from lit_cv.training import LitCLI


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


def check_trials(trials: Sequence[Sequence[str]], metric: str | None) -> None:
    """Parse the arguments of every trial of a sweep with the real parser, and check that its metric will be logged.

    Of trials that differ in the seed alone the first speaks for all.

    Raises:
        UserError: an argument that the experiment does not have or take, or a metric that its task does not log.
    """
    distinct = dict[tuple[str, ...], Sequence[str]]()
    for args in trials:
        distinct.setdefault(tuple(arg for arg in args if not re.fullmatch(r"--seed_everything=\d+", arg)), args)
    for args in distinct.values():
        try:
            model = parsed(args).fit.model
        except UsageError as error:
            raise UserError(f"`{' '.join(args)}`: {error}") from None
        task = named_class(model.class_path)
        if not issubclass(task, Task):
            raise UserError(f"{model.class_path} is no lit_cv.tasks.Task; name one in the experiment's `model`.")
        known = task.logged_metrics(named_class(model.init_args.network.class_path).loss_names)
        if metric is not None and metric not in known:
            raise UserError(f"the sweep's metric {metric!r} is not logged by {task.__name__}; use {sorted(known)}.")


def named_class(path: str) -> Any:
    """The class of a `class_path`."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)

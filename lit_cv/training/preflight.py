"""Checks of the trials of a sweep before the first of them starts."""

import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from datamodules.base import DataModule
from lit_cv.errors import UserError, did_you_mean, nearest
from lit_cv.runs.settings import canonical
from lit_cv.tasks.base import Task
from lit_cv.training.experiment import parsed
from lit_cv.training.from_data import data_module, missing_size
from lit_cv.training.parsing import Parser

SIZE = 21  # outputs of a network whose size only the data knows: the names of its metrics do not depend on it
CLASS = "<class>"
MOST = 100  # trials that are checked; one takes 0.15 s
SLOW = {Tensor.uniform_, nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_}


class Unfilled(TorchFunctionMode):
    """Samples no new weights: a network is then built in a fraction of the time."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Skip random initialization; call every other function."""
        if func is Tensor.normal_:
            # The mean and not arbitrary memory: truncated normals are sampled until every value is in their range.
            return args[0].fill_(args[1] if len(args) > 1 else (kwargs or {}).get("mean", 0.0))
        if func in SLOW:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def check_trials(trials: Sequence[Sequence[str]], metric: str | None) -> None:
    """Parse the arguments of every trial of a sweep, build its task, and check that the task logs the sweep's metric.

    Trials that differ only in the seed are parsed once, and equal tasks are built once. Of a sweep with more than
    `MOST` arms a sample is checked, with a note. The data may be missing. Then any class is accepted in the name of a
    metric, with a note.

    Args:
        trials: Arguments of each run.
        metric: The sweep's metric; None for a sweep without one.

    Raises:
        UserError: An argument is unknown to the experiment or has a wrong value, a network cannot be built, or a task
            does not log the metric.
    """
    distinct = dict[tuple[str, ...], Sequence[str]]()
    for args in trials:
        distinct.setdefault(tuple(arg for arg in args if not re.fullmatch(r"--seed_everything=\d+", arg)), args)
    built = set[str]()
    chosen = sample(list(distinct.values()))
    if len(chosen) < len(distinct):
        print(f"note: {len(chosen)} of {len(distinct)} arms are checked before the first run.", file=sys.stderr)
    for args in chosen:
        try:
            experiment = parsed(args).fit
            settings = canonical({"model": experiment.model.as_dict(), "data": experiment.data.as_dict()})
            if settings in built:
                continue
            built.add(settings)
            task = built_task(experiment.model)
        except UserError as error:
            raise UserError(f"`{' '.join(args)}`: {error}") from None
        if metric is not None:
            check_metric(task, experiment, metric)


def sample(trials: Sequence[Sequence[str]], most: int = MOST) -> Sequence[Sequence[str]]:
    """Return at most `most` trials; those that give a parameter a value for the first time come first.

    A larger number is reduced evenly, with the first and the last trial.
    """
    if len(trials) <= most:
        return trials
    seen, first, others = set[str](), list[Sequence[str]](), list[Sequence[str]]()
    for args in trials:
        (others if seen.issuperset(args) else first).append(args)
        seen.update(args)
    return [*_evenly(first, most), *_evenly(others, most - len(first))]


def _evenly(trials: Sequence[Sequence[str]], most: int) -> list[Sequence[str]]:
    if len(trials) <= most:
        return list(trials)
    return [trials[number * (len(trials) - 1) // max(most - 1, 1)] for number in range(most)]


def check_metric(task: Task, experiment: Any, metric: str) -> None:
    """Check that a task logs a metric while it trains.

    Args:
        task: A `built_task`.
        experiment: The parsed experiment of the task.
        metric: Full name.

    Raises:
        UserError: It does not.
    """
    known = _logged(task, [CLASS])
    if metric in known:
        return
    prefixes = [name.removesuffix(CLASS) for name in known if name.endswith(CLASS)]
    if any(metric.startswith(prefix) for prefix in prefixes):
        classes = known_classes(experiment)
        if classes is None:
            print(f"note: the data is not here, so the class in {metric} cannot be checked.", file=sys.stderr)
            return
        known = _logged(task, classes)
        if metric in known:
            return
    words = [metric, f"{metric.rpartition('/')[0]}/{CLASS}"] if metric.count("/") > 1 else [metric]
    near = next(filter(None, (did_you_mean(word, known) for word in words)), "")
    hint = near or f"; choose from {', '.join(nearest(metric, sorted(known)))}."
    raise UserError(f"the sweep's metric {metric!r} is not logged by {type(task).__name__}{hint}")


def built_task(model: Any) -> Task:
    """Build the task of a parsed `model`, with a network whose weights mean nothing.

    Raises:
        UserError: The model is no `Task`, or a setting of the network does not fit.
    """
    argument, model = missing_size(model), model.clone()
    network = model.init_args.network.init_args
    if argument is not None:
        network[argument] = SIZE
    if "weights" in network:
        network.weights = None  # of the backbone: a file or a download
    parser = Parser()
    parser.add_lightning_class_args(LightningModule, "model", subclass_mode=True)
    with Unfilled():
        task: Task = parser.instantiate_classes(Namespace(model=model)).model  # type: ignore[no-untyped-call]
    return task


def known_classes(experiment: Any) -> Sequence[str] | None:
    """Return the names of the classes of a parsed experiment's data; None if the data is not on this machine."""
    data = data_module(experiment)
    if isinstance(data, DataModule) and data.root.exists():
        with suppress(UserError):  # incomplete data, such as images without annotations
            return data.class_names
    return None


def _logged(task: Task, class_names: Sequence[str]) -> set[str]:
    return {name for name in task.logged_metrics(class_names) if not name.startswith("test/")}

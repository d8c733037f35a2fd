"""Checks of the trials of a sweep before the first of them starts."""

import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from datamodules.base import DataModule
from lit_cv.errors import UserError, did_you_mean, nearest
from lit_cv.metrics.facts import Fact
from lit_cv.runs.initial_weights import weights_file
from lit_cv.runs.prose import say
from lit_cv.runs.settings import canonical, split_arguments
from lit_cv.tasks.base import Task
from lit_cv.tasks.initial_weights.matching import refuse_unfit
from lit_cv.tasks.initial_weights.sources import read_source
from lit_cv.training.arguments.arms import parsed_arms
from lit_cv.training.arguments.parsing import Parser
from lit_cv.training.experiment import parsed
from lit_cv.training.from_data import data_module, missing_size
from lit_cv.training.monitored import known_metrics

SIZE = 21  # outputs of a network whose size only the data knows: the names of its metrics do not depend on it
CLASS = "<class>"
RATE = "model.optimizer.lr"
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


def check_trials(trials: Sequence[Sequence[str]], metric: str | None, goal: str | None = None) -> None:
    """Parse the arguments of every trial of a sweep, build its task, and check that the task logs the sweep's metric.

    Trials that differ only in the seed are one arm; equal networks and equal tasks are built once. The data may be
    missing. Then any class is accepted in the name of a metric, with a note.

    Args:
        trials: Arguments of each run.
        metric: The sweep's metric; None for a sweep without one.
        goal: ``maximize`` or ``minimize``; the other direction than the metric's own is told.

    Raises:
        UserError: An argument is unknown to the experiment or has a wrong value, a network cannot be built, initial
            weights do not fit it, a task does not log the metric, or the schedule overrules the learning rate.
    """
    arms = dict[tuple[str, ...], Sequence[str]]()
    for args in trials:
        arms.setdefault(tuple(arg for arg in args if not re.fullmatch(r"--seed_everything=\d+", arg)), args)
    by_network: defaultdict[str, dict[str, tuple[Sequence[str], Any]]] = defaultdict(dict)
    for args, experiment in zip(arms.values(), parsed_arms(list(arms.values()), _parsed), strict=True):
        with _of_arm(args):
            missing_size(experiment.model)
            _refuse_overruled_rate(args, experiment.model)
        model = experiment.model.as_dict()
        settings = canonical({"model": model, "data": experiment.data and experiment.data.as_dict()})
        by_network[canonical(model["init_args"].get("network"))].setdefault(settings, (args, experiment))
    facts = set[Fact | None]()
    for alike in by_network.values():
        network, tasks, fitting = None, dict[str, Task](), set[str]()
        for args, experiment in alike.values():
            with _of_arm(args):
                network = network or built_network(experiment.model)
                model = canonical(experiment.model.as_dict())
                task = tasks[model] = tasks.get(model) or built_task(experiment.model, network)
                _refuse_unfit_weights(task, fitting)
                if metric is not None:
                    facts.add(check_metric(task, experiment, metric))
    better = {"maximize" if fact.higher_is_better else "minimize" for fact in facts if fact}
    if goal and better and goal not in better:
        words = f"{metric} is best where it is {'highest' if better == {'maximize'} else 'lowest'}"
        say(f"note: the sweep's goal is {goal} (W&B's default is minimize), but {words}: set `goal` to {min(better)}.")


def _refuse_overruled_rate(args: Sequence[str], model: Any) -> None:
    """Refuse a rate of the optimizer that PyTorch's schedules with a `max_lr` of their own replace."""
    peak, rate = (model.init_args.get(key) for key in ("scheduler.init_args.max_lr", "optimizer.init_args.lr"))
    if peak not in (None, rate) and RATE in dict(split_arguments(args)):
        name = model.init_args.scheduler.class_path.rpartition(".")[2]
        raise UserError(
            f"{RATE}: {name} takes its rates from model.scheduler.max_lr ({peak}), so {rate} would change nothing; set "
            "model.scheduler to lit_cv.tasks.OneCycle, which takes its peak from the optimizer."
        )


def _refuse_unfit_weights(task: Task, fitting: set[str]) -> None:
    """Refuse a file of initial weights that does not fit the network; one that is missing here is told elsewhere.

    Args:
        task: A `built_task`.
        fitting: The files that are known to fit its network, which grow.
    """
    value = task.initial_weights.value
    if value is None or value in fitting:
        return
    try:
        file = weights_file(value)
    except UserError:
        return
    if file is not None:
        refuse_unfit(task.network, read_source(value))
        fitting.add(value)


def _parsed(args: Sequence[str]) -> Any:
    with _of_arm(args):
        return parsed(args)


@contextmanager
def _of_arm(args: Sequence[str]) -> Iterator[None]:
    """Put the arguments of an arm before the sentence that refuses it."""
    try:
        yield
    except UserError as error:
        raise UserError(f"`{' '.join(args)}`: {error}") from None


def check_metric(task: Task, experiment: Any, metric: str) -> Fact | None:
    """Check that a task logs a metric while it trains, and return its unit and direction if the data is here.

    Args:
        task: A `built_task`.
        experiment: The parsed experiment of the task.
        metric: Full name.

    Raises:
        UserError: It does not.
    """
    known = _logged(task, experiment, [CLASS])
    if metric in known:
        return known[metric]
    prefixes = [name.removesuffix(CLASS) for name in known if name.endswith(CLASS)]
    if any(metric.startswith(prefix) for prefix in prefixes):
        classes = known_classes(experiment)
        if classes is None:
            print(f"note: the data is not here, so the class in {metric} cannot be checked.", file=sys.stderr)
            return None
        known = _logged(task, experiment, classes)
        if metric in known:
            return known[metric]
    words = [metric, f"{metric.rpartition('/')[0]}/{CLASS}"] if metric.count("/") > 1 else [metric]
    near = next(filter(None, (did_you_mean(word, known) for word in words)), "")
    hint = near or f"; choose from {', '.join(nearest(metric, sorted(known)))}."
    raise UserError(f"the sweep's metric {metric!r} is not logged by {type(task).__name__}{hint}")


def built_network(model: Any) -> nn.Module:
    """Build the network of a parsed `model`, with weights that mean nothing.

    Raises:
        UserError: The model is no `Task`, or a setting of the network does not fit.
    """
    argument, settings = missing_size(model), model.init_args.network.clone()
    if argument is not None:
        settings.init_args[argument] = SIZE
    if "weights" in settings.init_args:
        settings.init_args.weights = None  # of the backbone: a file or a download
    with Unfilled():
        network: nn.Module = _parser(nn.Module, "network").instantiate_classes(Namespace(network=settings)).network  # type: ignore[no-untyped-call]
    return network


def built_task(model: Any, network: nn.Module | None = None) -> Task:
    """Build the task of a parsed `model`, with a `built_network`.

    Args:
        model: The parsed `model`.
        network: Its network, if it is built already.

    Raises:
        UserError: The model is no `Task`, or a setting of the task or of the network does not fit.
    """
    network, model = network or built_network(model), model.clone()
    model.init_args.network = network
    task: Task = _parser(LightningModule, "model").instantiate_classes(Namespace(model=model)).model  # type: ignore[no-untyped-call]
    return task


@cache
def _parser(base: type, name: str) -> Parser:
    parser = Parser()
    parser.add_subclass_arguments(base, name)
    return parser


def known_classes(experiment: Any) -> Sequence[str] | None:
    """Return the names of the classes of a parsed experiment's data; None if the data is not on this machine."""
    data = data_module(experiment)
    if isinstance(data, DataModule) and data.root.exists():
        with suppress(UserError):  # incomplete data, such as images without annotations
            return data.class_names
    return None


def _logged(task: Task, experiment: Any, class_names: Sequence[str]) -> dict[str, Fact]:
    facts = known_metrics(task, experiment.trainer.callbacks or [], class_names)
    return {name: fact for name, fact in facts.items() if not name.startswith("test/")}

"""What can be known about the trials of a sweep before the first of them starts."""

import re
from collections.abc import Sequence

from lit_cv.errors import UsageError, UserError
from lit_cv.tasks.base import Task
from lit_cv.training.experiment import parsed
from lit_cv.training.from_data import named_class


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

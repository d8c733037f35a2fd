"""The DataModule of an experiment, and the size of a network that follows from it."""

import math
from importlib import import_module
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule

from datamodules.base import DataModule
from datamodules.loading.packed import cache_folder
from lit_cv.errors import UserError
from lit_cv.runs.files import lock
from lit_cv.tasks.base import Task
from lit_cv.training.parsing import Parser


def named_class(path: str) -> Any:
    """Return the class of a `class_path`."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def data_module(experiment: Any) -> LightningDataModule:
    """Build the DataModule of a `parsed` experiment, and nothing else of it.

    Raises:
        UserError: The experiment has none, or a setting does not fit.
    """
    if experiment.data is None:
        raise UserError("the experiment has no data; give it `data` with the class_path of a DataModule.")
    data: LightningDataModule = _parser().instantiate_classes(Namespace(data=experiment.data)).data  # type: ignore[no-untyped-call]
    return data


def module_of(block: dict[str, Any]) -> DataModule[Any]:
    """Build the DataModule of a data block: `class_path` and `init_args`."""
    parser = _parser()
    data: DataModule[Any] = parser.instantiate_classes(parser.parse_object({"data": block})).data
    return data


def _parser() -> Parser:
    parser = Parser()
    parser.add_lightning_class_args(LightningDataModule, "data", subclass_mode=True)
    return parser


def missing_size(model: Any) -> str | None:
    """Return the argument of a parsed `model`'s network that is null and follows from the data; None if none is.

    Raises:
        UserError: The model is no `Task`.
    """
    if model is None:
        raise UserError("the experiment has no model; give it `model` with the class_path of a task.")
    task = named_class(model.class_path)
    if not (isinstance(task, type) and issubclass(task, Task)):
        raise UserError(
            f"model: {model.class_path} is no lit_cv.tasks.Task, which gives a run its network, losses and metrics; "
            "name a task or derive your class from one."
        )
    network = model.init_args.network.init_args
    return task.SIZE if task.SIZE in network and network[task.SIZE] is None else None


def fill_size(experiment: Any) -> None:
    """Take the size of the network from the data where it is null, such as `num_classes`.

    This needs the data, but not a prepared DataModule: its files are fetched or generated if its source says so. The
    processes of a machine do this one after the other, so that the first one does the work for all.

    Args:
        experiment: The `model` and `data` of a parsed experiment; changed in place.

    Raises:
        UserError: The data is missing or unusable, or has no size that the task can use.
    """
    argument = missing_size(experiment.model)
    if argument is None:
        return
    task, data = named_class(experiment.model.class_path), data_module(experiment)
    if isinstance(data, DataModule):
        with lock(cache_folder(data.root) / "size.lock", f"{data.root}: in use.", patience=math.inf):
            data.fetch()
            size = task.size(data).value
    else:
        size = task.size(data).value
    experiment.model.init_args.network.init_args[argument] = size

"""The executors of ``litcv sweep`` and their options.

To add an executor, write a module in this package with a subclass of ``Executor`` and add the class to ``EXECUTORS``.
The command line, its help and ``--status`` follow from the class. The list is explicit, instead of a search through the
modules of the package, so that readers and type checkers see all executors in one place.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lit_cv.ablation.executors.base import Executor, Task
from lit_cv.ablation.executors.local import LocalExecutor
from lit_cv.ablation.executors.slurm import SlurmExecutor
from lit_cv.ablation.executors.wandb import WandbExecutor
from lit_cv.ablation.sweep.sweep_file import Sweep
from lit_cv.errors import UsageError

EXECUTORS: tuple[type[Executor], ...] = (LocalExecutor, SlurmExecutor, WandbExecutor)  # the first is the default

Names = tuple[str, ...]  # such as ("--workers",)


def add_arguments(parser: ArgumentParser) -> None:
    """Add ``--executor`` and the options of all executors, grouped by the executors that accept them."""
    known = "; ".join(f"{executor.name}: {executor.summary}" for executor in EXECUTORS)
    names = [executor.name for executor in EXECUTORS]
    parser.add_argument("--executor", choices=names, default=names[0], help=f"{known} (default: {names[0]})")
    groups = {}
    for option, (settings, owners) in _declared().items():
        title = f"with --executor {' or '.join(owners)}"
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        groups[title].add_argument(*option, **settings)


def given_options(options: Namespace) -> dict[str, Any]:
    """Select the options of all executors from a parsed command line."""
    return {name: getattr(options, name) for executor in EXECUTORS for name in _defaults(executor)}


def make_executor(name: str, sweep: Sweep, options: Mapping[str, Any]) -> Executor:
    """Create an executor.

    Args:
        name: Value of ``--executor``.
        sweep: The sweep to be carried out.
        options: Values of executor options; missing ones have their defaults.

    Raises:
        UsageError: No executor has this name, or an option belongs to another executor.
        UserError: The options are not usable on this machine or for this sweep.
    """
    chosen = next((executor for executor in EXECUTORS if executor.name == name), None)
    if chosen is None:
        known = ", ".join(executor.name for executor in EXECUTORS)
        raise UsageError(f"--executor {name}: there is no such executor; choose from {known}.")
    own = _defaults(chosen)
    others = {key: value for executor in EXECUTORS for key, value in _defaults(executor).items()}
    for key, value in options.items():
        if key not in own and value != others.get(key):
            owners = " or ".join(executor.name for executor in EXECUTORS if key in _defaults(executor))
            needs = f"needs --executor {owners}" if owners else "is not an option of any executor"
            has = ", ".join(map(_flag, own)) or "none"
            raise UsageError(f"{_flag(key)} {needs}; options of --executor {name}: {has}.")
    return chosen.from_options(Namespace(**own | {key: options[key] for key in own if key in options}), sweep)


def queued(group: Path, but: str = "") -> dict[str, Task]:
    """Map the ids of a group's runs in the queues of all executors, except the one named ``but``, to their state."""
    others = [executor for executor in EXECUTORS if executor.name != but]
    return {run: task for executor in others for run, task in executor.queued(group).items()}


def log_prefixes() -> tuple[str, ...]:
    """Return the start of all lines that executors write into the logs of runs."""
    return tuple(prefix for executor in EXECUTORS for prefix in executor.log_prefixes)


class _Recorder:
    """Records the options that an executor declares."""

    def __init__(self) -> None:
        self.options: dict[Names, dict[str, Any]] = {}

    def add_argument(self, *names: str, **settings: Any) -> None:
        self.options[names] = settings


def _declared() -> dict[Names, tuple[dict[str, Any], list[str]]]:
    """Map each option to its settings and the names of the executors that declare it."""
    found: dict[Names, tuple[dict[str, Any], list[str]]] = {}
    for executor in EXECUTORS:
        recorder = _Recorder()
        executor.add_arguments(recorder)
        for names, settings in recorder.options.items():
            first, owners = found.setdefault(names, (settings, []))
            if first != settings:
                raise ValueError(f"{executor.name} declares {names[0]} with other settings than {owners[0]}")
            owners.append(executor.name)
    return found


def _defaults(executor: type[Executor]) -> dict[str, Any]:
    """Map the executor's options, as attributes of a namespace, to their defaults."""
    parser = ArgumentParser(add_help=False)
    executor.add_arguments(parser)
    return vars(parser.parse_args([]))


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"

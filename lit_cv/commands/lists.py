"""`litcv list KIND`: list the networks, backbones, tasks, data sets, experiments, sweeps or metrics that there are."""

import argparse
import inspect
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import get_terminal_size

from lit_cv.commands.parsers import Verbs, add_verb, refuse_missing_config
from lit_cv.commands.starters.shipped import shipped_folder
from lit_cv.errors import UsageError

Entry = tuple[str, str]
"""A name, and one line about it."""


def add_parser(verbs: Verbs) -> None:
    """Add `list`."""
    parser = add_verb(verbs, "list", "list what there is of a kind, such as networks, or the metrics of an experiment",
                      "litcv list metrics experiments/quickstart/ssd.yaml", _run)  # fmt: skip
    parser.add_argument(
        "kind", choices=[*KINDS, "metrics"], nargs="?", help="metrics are those of an experiment, CONFIG"
    )
    parser.add_argument("config", type=Path, nargs="?", metavar="CONFIG", help="an experiment's YAML file")


def _run(options: argparse.Namespace) -> int:
    if options.kind is None:
        raise UsageError(f"litcv list: name a kind: {', '.join(KINDS)}, or metrics with an experiment.")
    if (options.kind == "metrics") != (options.config is not None):
        raise UsageError("litcv list: metrics, and no other kind, needs an experiment: litcv list metrics CONFIG.")
    entries = list(_metrics(options.config) if options.config else KINDS[options.kind]())
    indent = min(30, 2 + max((len(name) for name, _ in entries), default=0))
    width = max(60, get_terminal_size().columns)
    for name, text in entries:
        long = len(name) + 2 > indent
        if text and long:  # it has a line of its own
            print(name)
        first = " " * indent if long else name.ljust(indent)
        print(textwrap.fill(text, width, initial_indent=first, subsequent_indent=" " * indent) if text else name)
    return 0


def _networks() -> Iterator[Entry]:
    from lit_cv import models

    yield from _classes(models, models.Network)


def _tasks() -> Iterator[Entry]:
    from lit_cv import tasks

    yield from _classes(tasks, tasks.Task)


def _datamodules() -> Iterator[Entry]:
    import datamodules
    from datamodules.base import DataModule

    yield from _classes(datamodules, DataModule)


def _backbones() -> Iterator[Entry]:
    from lit_cv.models.backbones.families import NAMES

    yield from ((name, "") for name in NAMES)
    yield "timm/<name>", "every network of timm that has feature maps (needs the extra timm)"


def _metrics(config: Path) -> Iterator[Entry]:
    from lit_cv.training.experiment import parsed
    from lit_cv.training.monitored import known_metrics
    from lit_cv.training.preflight import built_task

    refuse_missing_config(["--config", str(config)])
    experiment = parsed(["fit", "--config", str(config)]).fit
    task, callbacks = built_task(experiment.model), experiment.trainer.callbacks or []
    for name, fact in known_metrics(task, callbacks, ["<class>"]).items():
        better = "higher" if fact.higher_is_better else "lower"
        yield name, f"{better} is better{', in percent in reports' if fact.percent else ''}"


def _files(pattern: str) -> Callable[[], Iterator[Entry]]:
    def entries() -> Iterator[Entry]:
        paths = {str(path): path for path in sorted(Path().glob(pattern))}
        if not paths:
            yield f"no {pattern} here", "these come with the package; copy one with litcv new --like NAME"
            folder = shipped_folder() / pattern.partition("/")[0]
            paths = {
                str(path.relative_to(folder).with_suffix("")): path for path in sorted(folder.parent.glob(pattern))
            }
        for name, path in paths.items():
            comments = [line[1:].strip() for line in path.read_text(encoding="utf-8").splitlines() if line[:1] == "#"]
            yield name, comments[0] if comments else ""

    return entries


def _classes(module: object, base: type) -> Iterator[Entry]:
    """Yield the classes of a package that can be built, with the first line of their docstrings."""
    for name, kind in sorted(inspect.getmembers(module, inspect.isclass)):
        if issubclass(kind, base) and not inspect.isabstract(kind):
            yield name, (inspect.getdoc(kind) or "").partition("\n")[0].replace("``", "")


KINDS: dict[str, Callable[[], Iterator[Entry]]] = {
    "networks": _networks,
    "backbones": _backbones,
    "tasks": _tasks,
    "datamodules": _datamodules,
    "experiments": _files("experiments/*/*.yaml"),
    "sweeps": _files("sweeps/**/*.yaml"),
}

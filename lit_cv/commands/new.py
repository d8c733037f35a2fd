"""`litcv new`: write an experiment and a sweep to start from."""

import argparse
from pathlib import Path

from lit_cv.commands.parsers import Verbs, add_verb
from lit_cv.commands.shipped import copies_of, sweeps_of, write_new
from lit_cv.errors import UsageError


def add_parser(verbs: Verbs) -> None:
    """Add `new`."""
    parser = add_verb(verbs, "new", "write an experiment to start from: a copy of one that comes with the package",
                      "litcv new --like voc/faster_rcnn_squeezenet", _run)  # fmt: skip
    parser.add_argument("name", nargs="?", metavar="NAME", help="name of the copy")
    parser.add_argument(
        "--like", metavar="NAME", help="copy this experiment or sweep of litcv list experiments | sweeps"
    )
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder to write to (default: here)")


def _run(options: argparse.Namespace) -> int:
    if options.like is None:
        raise UsageError("litcv new: name an experiment or sweep to copy with --like; see litcv new --help.")
    copy_shipped(options.like, options.name, options.out)
    return 0


def copy_shipped(name: str, as_name: str | None, out: Path) -> None:
    """Copy an experiment or a sweep of the package, and print the command that runs it.

    Raises:
        UserError: There is no such file, or a copy would overwrite one.
    """
    files = {out / path: text for path, text in copies_of(name, as_name).items()}
    first, *others = files
    write_new(files, shared=others)
    if len(files) > 1:
        print(f"next: {f'cd {out} && ' if out != Path() else ''}litcv sweep {first.relative_to(out)}")
        return
    print(f"next: litcv fit {first}")
    if sweeps := sweeps_of(name.removeprefix("experiments/").removesuffix(".yaml")):
        print(f"sweeps over it: {', '.join(sweeps)}; copy one with litcv new --like {sweeps[0]}")

"""`litcv diff RUN RUN`: in what two runs differ."""

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from lit_cv.commands.parsers import Verbs, add_verb
from lit_cv.errors import UsageError

if TYPE_CHECKING:
    from lit_cv.ablation.pair import Entry, Section

INDENT = "  "


def add_parser(verbs: Verbs) -> None:
    """Add `diff`."""
    parser = add_verb(verbs, "diff", "compare two runs: settings, data, code, versions, hardware, steps and metrics",
                      "litcv diff runs/quickstart/1f2e3d4c5b runs/quickstart/5b4c3d2e1f", _run)  # fmt: skip
    parser.add_argument("first", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("second", type=Path, metavar="RUN", help="folder of another run")


def _run(options: argparse.Namespace) -> int:
    from lit_cv.ablation.pair import compare, load

    first, second = load(options.first), load(options.second)
    if options.first.resolve() == options.second.resolve():
        raise UsageError(f"diff: {options.first} and {options.second} are the same folder; give two runs.")
    width = get_terminal_size().columns if sys.stdout.isatty() else None
    print(f"A  {options.first}", f"B  {options.second}", "", sep="\n")
    sections = compare(first, second)
    if all(section.equal for section in sections):
        print(_wrapped("The runs are equal in settings, data, code, versions, hardware, steps and metrics.", width))
        return 0
    for section in sections:
        print(*lines_of(section, width), sep="\n")
    return 0


def lines_of(section: "Section", width: int | None) -> list[str]:
    """Return a section as text.

    Args:
        section: The differences.
        width: Columns of the terminal; None: without a limit.
    """
    head = section.title + (f": {section.summary}" if section.summary else "")
    notes = [_wrapped(line, width, INDENT) for line in section.lines]
    return [_wrapped(head, width), *_entries(section.entries, width), *notes]


def _entries(entries: Sequence["Entry"], width: int | None) -> list[str]:
    """Return one line for each entry if all fit, or else one line for each value."""
    widths = [max((len(column) for column in columns), default=0) for columns in zip(*entries, strict=True)]
    if width is None or len(INDENT) + sum(widths) + 2 * (len(widths) - 1) <= width:
        return [(INDENT + "  ".join(map(str.ljust, entry, widths))).rstrip() for entry in entries]
    lines = []
    for name, *values in entries:
        lines.append(_wrapped(name, width, INDENT))
        marked = zip(("A  ", "B  ", ""), values, strict=True)
        lines += [_wrapped(mark + text, width, 2 * INDENT, 2 * INDENT + "   ") for mark, text in marked if text]
    return lines


def _wrapped(text: str, width: int | None, indent: str = "", further: str | None = None) -> str:
    if width is None:
        return indent + text
    further = indent if further is None else further
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=further, break_on_hyphens=False)

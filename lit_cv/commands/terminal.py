"""A report's Markdown on a terminal: prose is wrapped, and a table keeps the columns that have room."""

import re
import textwrap
from itertools import groupby

BAR = re.compile(r"(?<!\\)\|")


def fitted(markdown: str, width: int) -> str:
    """Return Markdown whose lines are at most `width` characters long, as far as words and first columns allow.

    The last columns of a wide table are left out and named below it.
    """
    parts = list[str]()
    for is_table, group in groupby(markdown.splitlines(), lambda line: line.startswith("|")):
        lines = list(group)
        parts += _narrow(lines, width) if is_table else [_wrapped(line, width) for line in lines]
    return "\n".join(parts)


def _narrow(rows: list[str], width: int) -> list[str]:
    cells = [BAR.split(row)[1:-1] for row in rows]
    kept, used = 1, 1
    for number, cell in enumerate(cells[0], 1):
        used += len(cell) + 1
        kept = number if used <= width else kept
    if kept == len(cells[0]):
        return rows
    names = ", ".join(cell.strip() for cell in cells[0][kept:])
    narrow = ["|" + "|".join(row[:kept]) + "|" for row in cells]
    return [*narrow, "", _wrapped(f"Not shown, since the terminal is narrow: {names}.", width)]


def _wrapped(line: str, width: int) -> str:
    indent = "  " if line.startswith("- ") else ""
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)

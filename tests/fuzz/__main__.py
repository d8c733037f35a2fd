"""Repeat one mutated input, or try many: `python -m tests.fuzz [FORMAT [SEED | FIRST:END]]`."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.driver import BAD, fuzz, table
from tests.fuzz.formats import FORMATS


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser("tests.fuzz", description="Run the program on mutated files.")
    made.add_argument("format", nargs="?", default="all", choices=["all", *FORMATS])
    made.add_argument("seeds", nargs="?", default=range(30), type=_seeds, help="SEED, or FIRST:END (0:30)")
    return made


def _seeds(text: str) -> range:
    first, _, end = text.partition(":")
    return range(int(first), int(end or int(first) + 1))


def main(args: Sequence[str]) -> int:
    """Run the inputs that the arguments name, print each failure and a table; return 1 if an input fails."""
    options = parser().parse_args(args)
    names = list(FORMATS) if options.format == "all" else [options.format]
    inputs = [(name, seed) for name in names for seed in options.seeds]
    with tempfile.TemporaryDirectory() as folder:
        results = fuzz(Path(folder), inputs, verbose=len(inputs) == 1)
    print(table(results))
    return int(any(result.outcomes[kind] for result in results.values() for kind in BAD))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

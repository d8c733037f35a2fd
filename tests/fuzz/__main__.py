"""Repeat one mutated input, or try many: `python -m tests.fuzz [FORMAT [SEED | FIRST:END]]`."""

import sys
import tempfile
from pathlib import Path

from tests.fuzz.driver import BAD, fuzz, table
from tests.fuzz.formats import FORMATS


def main(args: list[str]) -> int:
    """Run the inputs that the arguments name, print each failure and a table; return 1 if an input fails."""
    names = [args[0]] if args and args[0] != "all" else list(FORMATS)
    first, _, end = (args[1] if len(args) > 1 else "0:30").partition(":")
    seeds = range(int(first), int(end or int(first) + 1))
    with tempfile.TemporaryDirectory() as folder:
        results = fuzz(Path(folder), [(name, seed) for name in names for seed in seeds], verbose=len(seeds) == 1)
    print(table(results))
    return int(any(result.outcomes[kind] for result in results.values() for kind in BAD))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

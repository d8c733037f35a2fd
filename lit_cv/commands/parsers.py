"""Building blocks of the verbs' parsers."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Run: TypeAlias = Callable[[argparse.Namespace], int]


def add_verb(verbs: Verbs, name: str, summary: str, example: str, run: Run) -> argparse.ArgumentParser:
    """Add a verb whose help ends with an example.

    Args:
        verbs: The subparsers of `litcv`.
        name: Name of the verb.
        summary: One line for `litcv --help` and for the verb's own help.
        example: A complete command line.
        run: Carries out the parsed options and returns the exit code.

    Returns:
        The verb's parser, to which its options are added.
    """
    parser = verbs.add_parser(
        name,
        help=summary,
        description=summary,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_config(parser: argparse.ArgumentParser, text: str = "an experiment's YAML file") -> None:
    """Add the argument CONFIG, and accept dotted settings of the experiment in `overrides`."""
    parser.add_argument("config", type=Path, metavar="CONFIG", help=text)
    parser.set_defaults(overrides=())

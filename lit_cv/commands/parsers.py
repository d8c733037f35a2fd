"""Building blocks of the verbs' parsers. Imports nothing heavy."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Run: TypeAlias = Callable[[argparse.Namespace], int]


def add_verb(verbs: Verbs, name: str, summary: str, example: str, run: Run | None = None) -> argparse.ArgumentParser:
    """Add a verb whose help ends with an example.

    Args:
        verbs: The subparsers of `litcv`.
        name: Name of the verb.
        summary: One line for `litcv --help` and for the verb's own help.
        example: A complete command line.
        run: Carries out the parsed options and returns the exit code. None: print the help and return 2, for a verb
            whose options LightningCLI parses.

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

    def print_help(_: argparse.Namespace) -> int:
        parser.print_help()
        return 2

    parser.set_defaults(run=run or print_help)
    return parser


def add_config(parser: argparse.ArgumentParser, text: str = "an experiment's YAML file") -> None:
    """Add the argument CONFIG, and accept dotted settings of the experiment in `overrides`."""
    parser.add_argument("config", type=Path, metavar="CONFIG", help=f"{text}; --SETTING=VALUE overrides its settings")
    parser.set_defaults(overrides=())


def refuse_missing_config(args: Sequence[str]) -> None:
    """Read the configuration files of a command line, before anything heavy is imported.

    Raises:
        UserError: A file is missing or is not a YAML mapping.
    """
    from lit_cv.runs.settings import merged_arguments

    merged_arguments(args)

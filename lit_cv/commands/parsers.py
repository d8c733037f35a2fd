"""Building blocks of the verbs' parsers. Imports nothing heavy."""

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from lit_cv.errors import UsageError, did_you_mean, nearest

Verbs: TypeAlias = "argparse._SubParsersAction[VerbParser]"
Run: TypeAlias = Callable[[argparse.Namespace], int]

INVALID = re.compile(r"argument (?P<name>[^:]+): invalid choice: '(?P<word>.*)' \(choose from (?P<choices>.*)\)")
OF_EXPERIMENTS: tuple[str, ...] = ("seed_everything", "model", "data", "trainer", "run", "ckpt_path", "weights_only")
OF_CALLS: tuple[str, ...] = ("config", "print_config", "resume", "verbose", "return_predictions")
REPEATABLE = ("config", "wandb")  # each adds a value


class VerbParser(argparse.ArgumentParser):
    """A parser that raises its errors as one sentence and accepts no abbreviated option."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        """Raise a `UsageError`, with the choices that are nearest to a wrong word."""
        if found := INVALID.fullmatch(message):
            choices = [choice.strip("' ") for choice in found["choices"].split(",")]
            hint = (
                did_you_mean(found["word"], choices) or f"; choose from {', '.join(nearest(found['word'], choices))}."
            )
            message = f"{found['name']}: there is no {found['word']}{hint}"
        else:
            message = f"{message}; see {self.prog} --help."
        raise UsageError(message)

    def refuse_unknown(self, words: Sequence[str]) -> NoReturn:
        """Raise a `UsageError` for words that the parser does not know."""
        options = [option for action in self._actions for option in action.option_strings]
        hint = did_you_mean(words[0].partition("=")[0], options) or f"; see {self.prog} --help."
        raise UsageError(f"{self.prog}: there is no option {words[0]}{hint}")

    def refuse_foreign(self, overrides: Sequence[str]) -> None:
        """Check that words which the verb's parser does not know may be settings of an experiment.

        Raises:
            UsageError: The first of them that is neither such a setting nor the value of one.
        """
        previous = ""
        for word in overrides:
            name = word.removeprefix("--").partition("=")[0]
            is_value = not word.startswith("--") and previous.startswith("--") and "=" not in previous
            if not is_value and (
                not word.startswith("--") or ("." not in name and name not in (*OF_EXPERIMENTS, *OF_CALLS))
            ):
                self.refuse_unknown([word])
            previous = word


def add_verb(verbs: Verbs, name: str, summary: str, example: str, run: Run | None = None) -> VerbParser:
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

    parser.set_defaults(run=run or print_help, verb=parser)
    return parser


def add_config(parser: argparse.ArgumentParser, text: str = "an experiment's YAML file") -> None:
    """Add the argument CONFIG, and accept dotted settings of the experiment in `overrides`."""
    parser.add_argument("config", type=Path, metavar="CONFIG", help=f"{text}; --SETTING=VALUE overrides its settings")
    parser.set_defaults(overrides=())


def tell_repeated(args: Sequence[str]) -> None:
    """Say which value is taken of each option that a command line gives twice with different values.

    Options of ``REPEATABLE`` and those that end in ``+`` add a value each time, as do settings of what the latter add.

    Args:
        args: The words after the verb.
    """
    from lit_cv.runs.prose import say
    from lit_cv.runs.settings import canonical, split_arguments

    values: dict[str, list[Any]] = {}
    for name, value in split_arguments(args):
        values.setdefault(name, []).append(value)
    added = tuple(name.removesuffix("+") for name in values if name.endswith("+"))
    for name, found in values.items():
        if len({canonical(value) for value in found}) > 1 and name not in REPEATABLE and not name.startswith(added):
            given = ", then ".join(str(value) for value in found)
            say(f"note: --{name} is given {len(found)} times ({given}); the last counts.", error=True)


def refuse_missing_config(args: Sequence[str]) -> None:
    """Read the configuration files of a command line and check the names at its top, before the heavy imports.

    Raises:
        UserError: A file is missing, is not a YAML mapping, or has an unknown name at its top.
    """
    from lit_cv.runs.settings import merged_arguments, split_arguments

    given = split_arguments(args)
    if ("config", True) in given:
        raise UsageError("--config: give the path of an experiment's YAML file.")
    known: tuple[str, ...]
    in_files: list[str] = []
    for key, value in given:
        if key == "config":
            names, known, place = list(merged_arguments(["--config", str(value)])), OF_EXPERIMENTS, f"{value}: "
            if {"method", "command"} <= {name.partition(".")[0] for name in names}:
                raise UsageError(f"{value}: is a sweep file; run it with `litcv sweep {value}`.")
            in_files += names
        else:
            names, known, place = [key], OF_EXPERIMENTS + OF_CALLS, "--"
        for name in names:
            top = name.partition(".")[0].removesuffix("+")
            if top not in known:
                whole = [other for other in in_files if other.endswith(f".{name}")]
                hint = did_you_mean(name, whole, cutoff=0.0) or did_you_mean(top, known)
                raise UsageError(f"{place}{name}: there is no such setting{hint or '; all settings: --print_config.'}")

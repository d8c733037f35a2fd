"""The front door: verbs, their help, and one clear sentence for every expected failure.

Nothing heavy is imported here; the verbs that compute import what they need.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper

from lit_cv import __version__
from lit_cv.commands import (
    analyze,
    bench,
    browse,
    completion,
    diff,
    doctor,
    evaluate,
    export,
    fit,
    lists,
    new,
    proposals,
    report,
    shapes,
    stats,
    sweep,
)
from lit_cv.commands.parsers import VerbParser, tell_repeated
from lit_cv.errors import UsageError, expected_failure
from lit_cv.runs.processes import is_first_process
from lit_cv.runs.prose import say

COMMANDS = (
    *(new, fit, evaluate, analyze, export, sweep, report, diff, bench),
    *(proposals, doctor, stats, browse, shapes, lists, completion),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return 0 on success, 2 on bad usage, 1 otherwise."""
    args = list(sys.argv[1:] if argv is None else argv)
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # they concern Lightning, not the user
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # in a file, each state of a bar is a line
    if "" not in sys.path:
        sys.path.append("")  # for the user's classes, as with `python -m lit_cv`
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # on a terminal that is not UTF-8, "×" becomes "?"
            stream.reconfigure(errors="replace")
    try:
        return _run(args)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("litcv: interrupted; nothing is lost, the same command continues.", file=sys.stderr)
        return 1
    except Exception as error:
        if (failure := expected_failure(error)) is None:
            raise
        say(f"litcv: error: {failure}", error=True)
        return 2 if isinstance(failure, UsageError) else 1


def _run(args: list[str]) -> int:
    verb, rest = args[:1], args[1:]
    helps = {"-h", "--help"} & set(rest)
    if verb == ["fit"] and helps and len(rest) > 1:  # of an experiment's settings
        return fit.explain([arg for arg in rest if arg not in helps])
    if not helps and is_first_process():
        tell_repeated(rest)
    if rest and not helps:  # LightningCLI parses the options of these verbs
        if verb[0] in fit.UNPARSED:
            return fit.run_unparsed(verb[0], rest)
        if verb[0] in evaluate.UNPARSED:
            return evaluate.run_unparsed(verb[0], rest)
    parser = _parser()
    options, overrides = parser.parse_known_args(args)
    if "overrides" in options:
        options.verb.refuse_foreign(overrides)
        options.overrides = overrides  # dotted options, which LightningCLI parses
    elif overrides:
        options.verb.refuse_unknown(overrides)
    run: Callable[[argparse.Namespace], int] = options.run
    return run(options)


def _parser() -> VerbParser:
    parser = VerbParser(
        "litcv",
        description="Controlled ablations of computer-vision systems.",
        epilog="Help and an example for each verb: litcv VERB --help",
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for command in COMMANDS:
        command.add_parser(verbs)
    if "_ARGCOMPLETE" in os.environ:  # set by the shell; autocomplete answers and exits
        import argcomplete

        argcomplete.autocomplete(parser)
    return parser

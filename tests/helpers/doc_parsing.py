"""Parses documented commands with the parsers that would read them, without doing what they ask for."""

import argparse
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import wandb.cli.cli

from benchmarks.lecture.__main__ import make_parser as lecture_parser
from benchmarks.lecture.claims import chosen, load_claims
from lit_cv.ablation.executors.slurm_options import Resources
from lit_cv.ablation.sweep.search import first_trial
from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.cli import _parser
from lit_cv.commands import evaluate, fit
from lit_cv.errors import UserError
from lit_cv.training.experiment import parsed
from lit_cv.training.preflight import check_trials
from tests.fuzz.__main__ import parser as fuzz_parser
from tests.helpers.doc_blocks import ROOT, words_of

RUN = re.compile(r"^runs/[\w-]+/[0-9a-f]{10}/?$")
OF_THE_SYSTEM = ("cd", "export", "git", "ls", "mkdir", "scancel", "source")  # of them the shell parses the syntax


class Wrong(Exception):
    """A documented command would not be accepted."""


def check(command: str) -> None:
    """Parse one command in the current folder, which has the project's `experiments`, `sweeps` and `benchmarks`.

    Raises:
        Wrong: a parser refuses it, or there is no parser for it.
    """
    _, (program, *args) = words_of(command)
    program = program.removeprefix(".venv/bin/")
    if program == "python" and args[:2] == ["-m", "lit_cv"]:
        program, args = "litcv", args[2:]
    if program == "python" and args[:2] == ["-m", "pytest"]:
        program, args = "pytest", args[2:]
    try:
        with _quiet() as said:
            if program in OF_THE_SYSTEM:
                _shell(command)
            else:
                _checker(program, args)(args)
    except (UserError, SystemExit, Wrong) as error:
        reasons = [] if isinstance(error, SystemExit) else [str(error)]
        raise Wrong(" ".join([f"`{command}`:", *reasons, *said.getvalue().strip().splitlines()[-1:]])) from None


def _checker(program: str, args: Sequence[str]) -> Callable[[list[str]], None]:
    if program == "python" and args[:1] and args[0].startswith("benchmarks/"):
        return _benchmark
    if program == "python" and args[:2] == ["-m", "tests.fuzz"]:
        return _fuzz
    if program == "python" and args[:2] == ["-m", "benchmarks.lecture"]:
        return _lecture
    if (ROOT / program).is_file() and os.access(ROOT / program, os.X_OK):
        return lambda args: None if not args else _refuse(f"{program} takes no arguments")
    checkers = {"litcv": _litcv, "make": _make, "pytest": _pytest, "wandb": _wandb}
    if program not in checkers:
        _refuse(f"there is no parser for {program}; add one to tests/helpers/doc_parsing.py")
    return checkers[program]


def _fuzz(args: list[str]) -> None:
    fuzz_parser().parse_args(args[2:])


def _lecture(args: list[str]) -> None:
    options = lecture_parser().parse_args(args[2:])
    if options.verb == "run":
        chosen(load_claims(), options.names)


def _refuse(reason: str) -> None:
    raise Wrong(reason)


@contextmanager
def _quiet() -> Iterator[StringIO]:
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        yield said


def _litcv(args: list[str]) -> None:
    verb, rest = args[0], args[1:]
    if verb in (*fit.UNPARSED, *evaluate.UNPARSED) and "--help" not in args:
        _training(verb, evaluate.weights_and_tta(rest)[1] if verb in evaluate.UNPARSED else rest)
        return
    if "--help" in args or "--version" in args:
        try:
            _parser().parse_args(args)
        except SystemExit as end:
            if end.code:
                raise
        return
    options, overrides = _parser().parse_known_args(args)
    if verb == "sweep":
        _sweep(options.file)
        Resources.of(options)
    if verb == "doctor" and options.config.suffix == "" and not overrides:  # a folder of data
        return
    if "overrides" in options:
        experiment = "experiments/quickstart/ssd.yaml" if RUN.match(str(options.config)) else str(options.config)
        _experiment("fit", ("--config", experiment, *overrides))
    elif overrides:
        _refuse(f"unrecognized arguments: {' '.join(overrides)}")


@cache
def _sweep(file: Path) -> None:
    sweep = load_sweep(file)
    if not (ROOT / file).exists():  # tests/test_experiments.py parses the arms of the project's sweeps
        trials = sweep.trials() if sweep.method == "grid" else [first_trial(sweep)]
        check_trials([trial.args for trial in trials], sweep.metric and sweep.metric.name)


def _training(verb: str, args: list[str]) -> None:
    if verb != "fit" and args[:1] and RUN.match(args[0]):
        args = ["--config", "experiments/quickstart/ssd.yaml", *args[1:]]
    if verb == "fit" and not args[0].startswith("-"):
        args = ["--config", *args]
    known = [arg for arg in args if arg not in (["--resume", "--print_config"] if verb == "fit" else [])]
    if "--config" not in known:
        _refuse(f"litcv {verb} needs --config, or the folder of a run such as runs/quickstart-ssd/1f2e3d4c5b")
    _experiment(verb, tuple(known))


@cache
def _experiment(verb: str, args: tuple[str, ...]) -> None:
    parsed([verb, *args])


class _Parsed(Exception):
    """A script has parsed its arguments."""


@cache
def _script(args: tuple[str, ...]) -> None:
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser: argparse.ArgumentParser, *given: object) -> None:
        parse(parser, *given)
        raise _Parsed

    before = sys.argv, list(sys.path)
    sys.argv, sys.path = list(args), [str(ROOT / "benchmarks"), *sys.path]
    argparse.ArgumentParser.parse_args = parse_and_stop
    try:
        runpy.run_path(str(ROOT / args[0]), run_name="__main__")
    except _Parsed:
        return
    finally:
        argparse.ArgumentParser.parse_args = parse
        sys.argv, sys.path = before
    _refuse(f"{args[0]} has parsed no arguments")


def _benchmark(args: list[str]) -> None:
    if not (ROOT / args[0]).is_file():
        _refuse(f"there is no {args[0]}")
    _script(tuple(args))


def dry_run(target: Sequence[str]) -> list[str]:
    """Return the commands of targets of the Makefile, as `make` itself expands them.

    Raises:
        Wrong: `make` does not accept them.
    """
    done = subprocess.run(["make", "--dry-run", *target], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise Wrong(done.stderr.strip().splitlines()[-1])
    return done.stdout.splitlines()


def _make(args: list[str]) -> None:
    dry_run(args)


def _pytest(args: list[str]) -> None:
    args = [arg for arg in args if not Path(arg).is_file()]  # tests of a page run with its commands
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *args]
    if not any(Path(ROOT / arg.partition("::")[0]).exists() for arg in args):
        command.append("tests/helpers/doc_blocks.py")  # no other tests, for whose collection takes long
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode not in (0, 5):  # 5: no test was collected
        _refuse((done.stdout + done.stderr).strip().splitlines()[-1])


def _shell(command: str) -> None:
    done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True)
    if done.returncode:
        _refuse(done.stderr.strip())


def _wandb(args: list[str]) -> None:
    group = wandb.cli.cli.cli
    command = group.commands.get(args[0]) or _refuse(f"wandb has no command {args[0]}")
    try:
        command.make_context(args[0], args[1:])
    except Exception as error:  # click's own
        raise Wrong(str(error)) from None

"""A copy of the project in which documented commands run as they are written, on small settings.

Its experiments take one step on a few generated images; sweeps (but for their steps and third seeds), commands and
paths are those of the project. A run's folder that is named in a page, such as `runs/quickstart-ssd/1f2e3d4c5b`, means
the newest run of that group. A page that writes into `lit_cv/` gets a copy of the package, too.
"""

import multiprocessing
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_cv.cli import main
from lit_cv.fork_server import IMPORTED
from tests.helpers.doc_blocks import ROOT, Block, changes_package, words_of
from tests.helpers.doc_parsing import dry_run

SECONDS = 120  # that one command may take
RUN = re.compile(r"runs/([\w-]+)/[0-9a-f]{10}\b")
TRAINER = {
    "accelerator": "cpu",
    "max_steps": 1,
    "val_check_interval": 1,
    "log_every_n_steps": 1,
    "num_sanity_val_steps": 0,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
DATA = {"shapes": {"train": 6, "val": 2, "size": 64}, "batch_size": 2, "num_workers": 0}
NETWORK = {"weights": None, "min_size": 64, "max_size": 64, "roi_batch": 16, "windows": 16}
NETWORK |= {"rpn_post_nms_train": 50, "rpn_post_nms_test": 20}


class SmallProject:
    """The copy, and a server that has imported the project once and forks a process for each command.

    Args:
        folder: an empty folder for it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._cache, self._files = folder / "project", folder / "cache", folder / "files"
        shutil.copytree(ROOT / "sweeps", self._files / "sweeps")
        for file in (self._files / "sweeps").glob("*.yaml"):
            text = re.sub(r"--trainer\.max_steps=\d+", "--trainer.max_steps=1", file.read_text())
            file.write_text(text.replace("values: [1, 2, 3]", "values: [1, 2]"))  # seeds
        for file in sorted(ROOT.glob("experiments/*/*.yaml")):
            copy = self._files / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(yaml.safe_dump(small(yaml.safe_load(file.read_text()))))
        self._cache.mkdir()
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload([*IMPORTED, __name__])

    def run_page(self, blocks: Sequence[Block]) -> list[str]:
        """Write the files of a page and run its blocks marked `run`, in order; return the output of each command.

        Raises:
            AssertionError: a command fails; with the end of its output.
        """
        shutil.rmtree(self.folder, ignore_errors=True)  # no page uses what another has left
        shutil.copytree(self._files, self.folder)
        self._own_package = changes_package(blocks)
        if self._own_package:
            shutil.copytree(ROOT / "lit_cv", self.folder / "lit_cv")
        said = []
        for block in blocks:
            if block.title:
                file = self.folder / block.title
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text("\n".join(block.lines) + "\n")
            if block.is_shell and block.marker == "run":
                said += [self._run(command, block.place) for command in block.commands]
        return said

    def _run(self, command: str, place: str) -> str:
        environment, (program, *args) = words_of(command)
        if program == "make":
            lines = [line for line in dry_run(args) if line.startswith(".venv/bin/litcv ")]
            assert lines, f"{place}: `{command}` runs no litcv"
            return "\n".join(self._run(line.removeprefix(".venv/bin/"), place) for line in lines)
        path = []
        if program == "python" and args[:2] in (["-m", "lit_cv"], ["-m", "pytest"]):
            program, args, path = args[1].replace("lit_cv", "litcv"), args[2:], [str(self.folder)]
        if program in ("litcv", "pytest"):
            args = [self._with_runs(arg) for arg in args]
            if args[0] == "sweep" and "--dry-run" in args:
                args = [*args[:1], "--no-measure", *args[1:]]  # timing steps is tested elsewhere
            if self._own_package:
                code, output = self._new_process(program, args, environment)
            else:
                code, output = self._forked(program, args, environment, path)
        else:
            done = subprocess.run(
                ["bash", "-c", command], cwd=self.folder, capture_output=True, text=True, timeout=SECONDS
            )
            code, output = done.returncode, done.stdout + done.stderr
        assert code == 0, f"{place}: `{command}` exits with {code}:\n{output[-3000:]}"
        return output

    def _with_runs(self, arg: str) -> str:
        """The argument with the newest run of its group in the place of the run that it names."""
        named = RUN.search(arg)
        if named is None or (self.folder / named[0]).exists():
            return arg
        runs = sorted((self.folder / "runs" / named[1]).glob("*/run.json"), key=lambda file: file.stat().st_mtime)
        assert runs, f"{named[0]}: no earlier command of the page has made a run of this group"
        return arg.replace(named[0], f"runs/{named[1]}/{runs[-1].parent.name}")

    def _forked(
        self, program: str, args: list[str], environment: Mapping[str, str], path: list[str]
    ) -> tuple[int, str]:
        log = self._cache / "log.txt"
        environment = {**self._environment, **environment}
        process = self._processes.Process(target=_command, args=(program, args, environment, path, self.folder, log))
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            return 1, f"{log.read_text()}\nIt took more than {SECONDS} seconds."
        return process.exitcode, log.read_text()

    def _new_process(self, program: str, args: list[str], environment: Mapping[str, str]) -> tuple[int, str]:
        module = "lit_cv" if program == "litcv" else program
        done = subprocess.run(
            [sys.executable, "-m", module, *args],
            cwd=self.folder,
            env={**os.environ, **self._environment, **environment},
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        return done.returncode, done.stdout + done.stderr

    @property
    def _environment(self) -> dict[str, str]:
        return {"WANDB_MODE": "disabled", "LITCV_CACHE": str(self._cache)}


def _command(
    program: str, args: list[str], environment: Mapping[str, str], path: list[str], folder: Path, log: Path
) -> None:
    """Be the process `litcv ARGS` or `pytest ARGS` in a folder, with its output in a file.

    Args:
        program: `litcv` or `pytest`.
        args: its arguments.
        environment: variables that are set.
        path: in front of `sys.path`: of `python -m`, the current folder.
        folder: the current folder.
        log: the file.
    """
    os.chdir(folder)
    os.environ.update(environment)
    sys.path[:0] = path
    with log.open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    if program == "pytest":
        code = pytest.main(args)
        sys.stdout.flush()
        os._exit(code)  # the end of Python after pytest in a fork has hung
    sys.argv = ["litcv", *args]
    sys.exit(main())


def small(config: dict[str, Any]) -> dict[str, Any]:
    """Return an experiment that takes one step on a few generated images."""
    data, network = config["data"]["init_args"], config["model"]["init_args"]["network"]["init_args"]
    data |= DATA
    network |= {key: value for key, value in NETWORK.items() if key in network}
    config["model"]["init_args"].pop("initial_weights", None)  # nothing is downloaded
    config["trainer"] |= TRAINER
    return config

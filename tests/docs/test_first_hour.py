"""The first steps of a newcomer: `make` with a wrong Python, and the folders of runs that the pages name."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lit_cv.runs.folder import run_folder
from tests.helpers.doc_blocks import PAGES, ROOT, blocks_of, words_of

RUN = re.compile(r"runs/[\w-]+/[0-9a-f]{10}\b")
PROGRAM = 'import sys; sys.version_info, sys.version = (3, 9, 2), "3.9.2"; exec(sys.argv[2])'
OLD = f"#!/bin/sh\nexec {sys.executable} -c '{PROGRAM}' \"$@\""


@pytest.mark.parametrize("goal", ["demo", "install", "docs"])
def test_make_refuses_an_old_python_in_one_sentence(goal: str, tmp_path: Path) -> None:
    answer = make(tmp_path, goal, "python3.9")
    assert answer[0].startswith("found Python 3.9.2 (")
    assert answer[0].endswith(f"), but lit-cv needs Python 3.11 or later: make {goal} PYTHON=python3.12")


def test_make_names_a_python_that_is_missing(tmp_path: Path) -> None:
    needs = "but lit-cv needs Python 3.11 or later: make install PYTHON=python3.12"
    assert make(tmp_path, "install", "python9")[0] == f"found no python9, {needs}"


def make(folder: Path, goal: str, python: str) -> list[str]:
    """Return the lines of `make GOAL` with an interpreter that is too old; nothing may be installed."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    old = folder / "bin" / "python3.9"
    old.parent.mkdir()
    old.write_text(OLD)
    old.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}  # of make test
    environment = {**kept, "PATH": f"{old.parent}:{os.environ['PATH']}"}
    command = ["make", goal, f"PYTHON={python}"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stdout == ""
    assert not (folder / ".venv").exists()
    return done.stderr.splitlines()


@pytest.mark.parametrize("page", [page for page in PAGES if RUN.search(page.read_text())], ids=lambda page: page.name)
def test_the_named_runs_are_those_of_the_commands(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    blocks = [block for block in blocks_of(page) if block.is_shell]
    commands = [words_of(command)[1] for block in blocks for command in block.commands]
    fits = [words[2:] for words in commands if words[:2] == ["litcv", "fit"]]
    fits = [
        args for args in fits if args[0].startswith("-") or Path(args[0]).exists()
    ]  # the others' data is the reader's
    made = {str(run_folder(["fit", *([] if args[0].startswith("-") else ["--config"]), *args])) for args in fits}
    named = {found for block in blocks_of(page) for line in block.lines for found in RUN.findall(line)}
    assert named <= made

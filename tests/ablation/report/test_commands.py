"""Each number names the command that makes it, and a copied command is the run."""

import os
import re
import shlex
import subprocess
from html import unescape
from pathlib import Path

import pytest

from lit_cv.ablation.report.commands import of_report
from lit_cv.ablation.report.options import Options
from lit_cv.commands.report import run_report
from lit_cv.runs.folder import run_folder
from lit_cv.runs.settings import merged_arguments
from tests.helpers.fake_project import write_run

KEY = "model.network.name"
NASTY = ["[24, 48, 96]", "a b", "it's", '"quoted"', "$HOME `ls` \\", "x;rm -rf y", "a|b>c&", "<i>*?#", "é ± 狗"]
ECHO = '#!/bin/sh\nprintf "%s\\0" "$@"; printf "\\n"\n'  # the words that a program gets


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the report of one run for each nasty value, with the run ids of its command."""
    root = tmp_path_factory.mktemp("root") / "the runs"
    config = root.parent / "my experiment.yaml"
    config.write_text("model: {network: {size: 1}}\n")
    for value in NASTY:
        args = ["fit", "--config", str(config), f"--{KEY}={value}", "--run.group=g", f"--run.root={root}"]
        settings = {"model": {"network": {"name": merged_arguments(args)[KEY]}}}
        write_run(run_folder(args), seed=1, config=settings, command=args)
    assert run_report([root / "g"], Options(baseline=f"{KEY}=a b")) == 0
    return root / "g/report"


def test_the_commands_are_those_of_the_runs_in_a_shell(report: Path, tmp_path: Path) -> None:
    program = tmp_path / "litcv"
    program.write_text(ECHO)
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    shell = ["bash", "-eu", str(report / "commands.txt")]
    done = subprocess.run(shell, env=environment, capture_output=True, text=True, check=True)
    *runs, last = [line.rstrip("\0").split("\0") for line in done.stdout.splitlines()]
    assert sorted(map(run_folder, runs)) == sorted(file.parent for file in report.parent.glob("*/result.json"))
    assert last == ["report", str(report.parent), f"--baseline={KEY}=a b"]


def test_each_number_of_the_page_opens_to_its_command(report: Path) -> None:
    page = (report / "report.html").read_text()
    body = page.split('<table id="arms"')[1].split("</table>")[0]
    rows = [re.findall(r"<td.*?</td>", row, re.S) for row in body.split("<tr")[2:]]
    header = re.findall(r"<button[^>]*>(.*?)</button>", body)
    known = set((report / "commands.txt").read_text().splitlines())
    own = []
    for row in rows:
        made = {}
        for name, cell in list(zip(header, row, strict=True))[1:]:
            made[name] = [unescape(command) for command in re.findall(r"<code>(.*?)</code>", cell, re.S)]
        (report_command,) = made.pop(next(name for name in made if name.startswith("Δ")))
        assert shlex.split(report_command)[:2] == ["litcv", "report"]
        assert made.pop("ms/image") == [f"{report_command} --measure"]
        made = {name: commands for name, commands in made.items() if commands != [report_command]}  # such as claims
        assert set(made) >= {"val/map_50", "params", "GFLOPs", "GB"}
        (command,) = {command for commands in made.values() for command in commands}
        own.append(command)
    assert len(set(own)) == len(NASTY)
    assert set(own) < known


def test_the_options_of_a_report_are_in_its_command() -> None:
    options = {"metric": None, "value": "best", "force": True, "output": Path("a b"), "checklist": False}
    command = of_report([Path("runs/a"), Path("runs/b c")], options)
    assert command == "litcv report runs/a 'runs/b c' --value=best --force '--output=a b'"

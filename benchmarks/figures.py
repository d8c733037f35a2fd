"""Check the figures of docs/results.md and of the systems' pages against their record, and make them again.

`results/figures.json` holds the command and the runs of each figure: seed, commit, date, machine and metrics. `pages`
lists the lines of each page that show figures, in their order: the beginning of the line, and its figures from left to
right.

    python benchmarks/figures.py --check
    python benchmarks/figures.py --run shapes/ssd shapes/fcos --seed 1
    python benchmarks/figures.py --take shapes/ssd runs/quickstart-ssd/1f2e3d4c5b

`--run` trains in `runs/figures/<commit>/`. A command with angle brackets needs data that has to be made first, such as
a list of eight images; `--take` records its run.
"""

import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lit_cv.runs.folder import run_folder

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "benchmarks" / "results" / "figures.json"
FIGURE = re.compile(r"(?<![\d.])\d\.\d{3,4}(?![\de])")  # 3 or 4 decimals: a metric in [0, 1]
RESOLUTION = 0.00005 + 1e-9  # older runs are recorded with four decimals
SEPARATE = "benchmarks/results/"  # a line whose figures another file of the benchmarks holds

Record = dict[str, Any]


def check(record: Record, root: Path = ROOT) -> list[str]:
    """Return the differences between the pages and the record, one sentence each."""
    found: list[str] = []
    used: set[str] = set()
    for page, places in record["pages"].items():
        lines = list(lines_with_figures((root / page).read_text(encoding="utf-8"), results_only="systems" in page))
        for number, line in lines[len(places) :]:
            found.append(f"{page}:{number}: no figure is recorded for this line: {line}")
        for label, *_ in places[len(lines) :]:
            found.append(f"{page}: the line of the record is missing: {label}")
        for (number, line), (label, *names) in zip(lines, places, strict=False):
            if not line.startswith(label):
                found.append(f"{page}:{number}: the record expects {label!r} here: {line}")
            elif not names[0].startswith(SEPARATE):
                used.update(name.split()[0] for name in names)
                found += [f"{page}:{number}: {what}" for what in differences(record, line.removeprefix(label), names)]
    return found + [f"{name}: no page shows this figure" for name in record["figures"] if name not in used]


def lines_with_figures(text: str, results_only: bool) -> Iterator[tuple[int, str]]:
    """Yield number and content of the lines with figures, outside of code; of the section Results alone, if asked."""
    code, inside = False, not results_only
    for number, line in enumerate(text.splitlines(), start=1):
        code ^= line.startswith("```")
        if results_only and line.startswith("## "):
            inside = line == "## Results"
        if inside and not code and FIGURE.search(line):
            yield number, line


def differences(record: Record, shown: str, names: list[str]) -> Iterator[str]:
    """Yield the differences between the figures of a line and the recorded ones."""
    texts = FIGURE.findall(shown)
    expected = [(name, value) for name in names for value in values(record, name)]
    if len(texts) != len(expected):
        yield f"{len(texts)} figures, but the record has {len(expected)}: {', '.join(names)}"
        return
    for text, (name, value) in zip(texts, expected, strict=True):
        digits = len(text) - len("0.")
        if abs(float(text) - value) > 0.5 * 10**-digits + RESOLUTION:
            yield f"{text}, but {name} is {value:.{digits}f}"


def values(record: Record, name: str) -> list[float]:
    """Return the numbers of a figure: of several seeds the mean and the standard deviation.

    Args:
        record: The record.
        name: Figure and metric, such as ``shapes/ssd val/map_50``; then ``seed=2`` for a single run, or ``mean`` where
            the deviation is not shown.
    """
    figure, metric, *part = name.split()
    runs = {f"seed={run['seed']}": run["metrics"][metric] for run in record["figures"][figure]["runs"]}
    if part and part != ["mean"]:
        return [runs[part[0]]]
    found = list(runs.values())
    mean = statistics.mean(found)
    return [mean] if part or len(found) == 1 else [mean, statistics.stdev(found)]


def make(figure: Record, seed: int | None) -> Path:
    """Run the command of a figure at this commit; return the folder of the run.

    Raises:
        SystemExit: The command fails, needs data that a person has to make, or the code is not committed.
    """
    if "<" in figure["command"]:
        raise SystemExit(f"{figure['command']} needs data that you have to make first; then use --take.")
    if subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=ROOT, capture_output=True, check=True).stdout:
        raise SystemExit("tracked files differ from the commit: commit them, so that the record can name it.")
    return fit(figure["command"], seed)


def take(figure: Record, folder: Path) -> None:
    """Record a finished run of a figure's command in place of the run with the same seed."""
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    metrics, hardware = result["metrics"], result["hardware"]
    if "then" in figure:
        execute(figure["then"].replace("RUN", str(folder)))
        metrics = metrics | json.loads((folder / "validate.json").read_text(encoding="utf-8"))
    made = {
        "seed": result["seed"],
        "commit": result["git"]["commit"][:7],
        "dirty": result["git"]["dirty"],
        "date": result["finished"][:10],
        "machine": f"{hardware['device']}, {hardware['threads']} threads",
        "data": result["data"]["fingerprint"],
        "steps": result["steps"],
        "seconds": round(result["fit_seconds"]),
        "metrics": {name: round(value, 5) for name, value in metrics.items() if name.startswith("val/")},
    }
    figure["runs"] = sorted([made, *(run for run in figure["runs"] if run["seed"] != made["seed"])], key=of_seed)


def of_seed(run: Record) -> int:
    """Return the seed of a run, 0 for a predictor without one."""
    return int(run["seed"] or 0)


def fit(command: str, seed: int | None) -> Path:
    """Train with this commit, or continue such a training; return the folder of the run."""
    head = ["git", "rev-parse", "--short=7", "HEAD"]
    commit = subprocess.run(head, cwd=ROOT, capture_output=True, text=True, check=True)
    seeded = [] if seed is None else [f"--seed_everything={seed}"]
    options = [*seeded, "--run.wandb=disabled", f"--run.root=runs/figures/{commit.stdout.strip()}"]
    execute(command, *options, "--resume")
    return ROOT / run_folder([*words_of(command), *options])


def words_of(command: str) -> list[str]:
    """Return the words of a command of `litcv` without the program."""
    program, *words = shlex.split(os.path.expandvars(command))
    if program != "litcv":
        raise SystemExit(f"{command}: only commands of litcv can be run here.")
    return words


def execute(command: str, *options: str) -> None:
    """Run `litcv ...` with the code of this checkout."""
    call = [sys.executable, "-m", "lit_cv", *words_of(command), *options]
    if code := subprocess.run(call, cwd=ROOT).returncode:
        raise SystemExit(f"{command}: exit code {code}")


def known(record: Record, name: str) -> Record:
    """Return a figure by its name."""
    if name not in record["figures"]:
        raise SystemExit(f"{name}: there is no such figure; see --list.")
    figure: Record = record["figures"][name]
    return figure


def save(record: Record) -> None:
    """Write the record."""
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> int:
    """Check, or run and record; return 1 if a page differs from the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--check", action="store_true", help="compare the pages with the record")
    task.add_argument("--list", action="store_true", help="list the figures with commits and commands")
    task.add_argument("--run", nargs="+", metavar="NAME", help="make these figures again")
    task.add_argument("--take", nargs=2, metavar=("NAME", "RUN"), help="record a finished run of the figure's command")
    parser.add_argument("--seed", type=int, help="seed of --run; the default is that of the experiment")
    options = parser.parse_args()
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    made = [(name, make(known(record, name), options.seed)) for name in options.run or ()]
    for name, folder in made:  # at the end: a changed record is a difference from the commit
        take(known(record, name), folder)
        save(record)
    if options.take:
        take(known(record, options.take[0]), Path(options.take[1]))
        save(record)
    if options.list:
        for name, figure in record["figures"].items():
            commits = " ".join(sorted({str(run["commit"]) for run in figure["runs"]}))
            print(f"{name:36} {commits:16} {figure['command']}")
        return 0
    problems = check(record)
    print("\n".join(problems) or "the pages show the recorded figures")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())

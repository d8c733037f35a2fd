"""Time ``litcv report`` on a thousand runs: 200 arms with five seeds, and a random search with 1,000 arms.

    python benchmarks/report_scale.py

Writes run folders with the test helpers, each with the resolved config of a real experiment and a curve of 400 lines.
Each report runs in a new Python process. Writes benchmarks/results/report_scale.json.
"""

import argparse
import copy
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from timing import write

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY))

from lit_cv.runs.files import write_json  # noqa: E402
from tests.helpers.fake_project import write_run  # noqa: E402

EXPERIMENT = "experiments/voc/faster_rcnn_squeezenet.yaml"
RATE, BACKBONE = "model.optimizer.lr", "model.network.backbone"
LINES = 400  # in metrics.csv


def resolved_config() -> dict[str, Any]:
    """Return the config of a real experiment with all defaults, as in a run folder."""
    command = [sys.executable, "-m", "lit_cv", "fit", "--config", EXPERIMENT, "--print_config"]
    printed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    content: dict[str, Any] = yaml.safe_load(printed)
    return content


def write_group(group: Path, arms: int, seeds: int, config: dict[str, Any]) -> None:
    """Write the run folders of a sweep over two factors, and its sweep.json."""
    rng = random.Random(0)
    planned = []
    for arm in range(arms):
        values = {RATE: 10 ** rng.uniform(-5, -1), BACKBONE: ("squeezenet1_0", "resnet50", "vgg16")[arm % 3]}
        own = copy.deepcopy(config)
        own["model"]["init_args"]["optimizer"]["init_args"]["lr"] = values[RATE]
        own["model"]["init_args"]["network"]["init_args"]["backbone"] = values[BACKBONE]
        runs = [{"seed": seed, "id": f"{arm:05x}{seed:05x}"} for seed in range(seeds)]
        for run in runs:
            folder = group / run["id"]
            write_run(folder, seed=run["seed"], config=own, score=rng.random(), seconds_per_image=rng.random())
            with (folder / "metrics.csv").open("a") as lines:
                lines.writelines(f"{step},0,train/loss,{1 / step}\n" for step in range(1, LINES))
        planned.append({"values": values, "runs": runs})
    plan = {"name": group.name, "description": "", "file": "none.yaml", "swept": [RATE, BACKBONE], "arms": planned}
    write_json(group / "sweep.json", {**plan, "metric": {"name": "val/map_50", "goal": "maximize"}})


def report(group: Path) -> tuple[float, float]:
    """Return wall time and CPU time of a report in seconds; load on the machine hardly affects the latter."""
    start, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-m", "lit_cv", "report", group], check=True, capture_output=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, used


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    config = resolved_config()
    result: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as place:
        for arms, seeds in ((200, 5), (1000, 1)):
            group = Path(place) / f"{arms} arms, {seeds} seeds"
            write_group(group, arms, seeds, config)
            times = [report(group) for _ in range(rounds)]
            result[group.name] = {
                "median_seconds": round(statistics.median(wall for wall, _ in times), 2),
                "median_cpu_seconds": round(statistics.median(cpu for _, cpu in times), 2),
                "report_html_megabytes": round((group / "report" / "report.html").stat().st_size / 1e6, 2),
            }
            print(group.name, result[group.name])
    machine = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "python": platform.python_version()}
    load = {"load_average": os.getloadavg()[1]}
    write("report_scale", {**machine, **load, "runs": result})


if __name__ == "__main__":
    main()

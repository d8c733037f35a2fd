"""Time the start of the command line: ``litcv --help`` and a sweep's dry run.

    python benchmarks/front_door.py

For comparison, an empty Python program and ``import lightning`` are timed too. The commands take turns over several
rounds. Prints medians and writes them to benchmarks/results/front_door.json.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "litcv --help": ["-m", "lit_cv", "--help"],
    "litcv sweep sweeps/faster_rcnn_anchors.yaml --dry-run": [
        *("-m", "lit_cv", "sweep", "sweeps/faster_rcnn_anchors.yaml", "--dry-run"),
    ],
    "litcv fit --config missing.yaml": ["-m", "lit_cv", "fit", "--config", "missing.yaml"],
    "import lightning": ["-c", "import lightning"],
}


def seconds(arguments: list[str]) -> float:
    """Return the wall time of a new Python process in seconds."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
    return time.perf_counter() - start


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):
        for name, arguments in COMMANDS.items():
            times[name].append(seconds(arguments))
    medians = {name: round(statistics.median(values), 3) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{median:7.3f} s  {name}")
    result = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "python": platform.python_version()}
    path = Path(__file__).parent / "results" / "front_door.json"
    path.write_text(json.dumps({**result, "median_seconds": medians}, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Random ``kill -9`` of the processes of a sweep until it is done: ``python tests/helpers/kill_storm.py [--kills 50]``.

As a program, it uses real training runs, half of them on two processes (gloo), and compares the results with those of
an undisturbed sweep. This takes many minutes; the tests use runs of the fake project instead.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import yaml

MARK = "KILL_STORM"
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Storm:
    """Outcome of a storm: killed processes by depth below the runner, calls of the sweep, versions of each result."""

    killed: Counter[int]
    calls: int
    results: dict[str, set[int]]
    left: list[int]
    seconds: float


def storm(command: list[str], folder: Path, *, kills: int, pause: float, seed: int) -> Storm:
    """Call ``command`` in ``folder`` until it succeeds; kill one of its processes about every ``pause`` seconds."""
    rng, mark, start = random.Random(seed), uuid.uuid4().hex, time.monotonic()
    killed, results, calls = Counter[int](), defaultdict[str, set[int]](set), 0
    runner = None
    with (folder / "runner.log").open("w") as log:
        while runner is None or runner.poll() != 0:
            if runner is None or runner.poll() is not None:
                calls += 1
                environment = os.environ | {MARK: mark}
                runner = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
            if killed.total() < kills:
                time.sleep(rng.uniform(0.0, 2 * pause))
                killed.update(kill_one(runner.pid, mark, rng))
            else:
                runner.wait()
            for file in folder.glob("runs/*/*/result.json"):
                results[str(file.relative_to(folder))].add(file.stat().st_mtime_ns)
    time.sleep(1.0)
    return Storm(killed, calls, results, marked(mark), time.monotonic() - start)


def kill_one(runner: int, mark: str, rng: random.Random) -> list[int]:
    """Kill a process at a random depth below the runner once a process has depth 3; return the depth."""
    levels = defaultdict[int, list[int]](list)
    for pid in sorted(marked(mark)):
        levels[depth(pid, runner)].append(pid)
    levels.pop(-1, None)
    if max(levels, default=0) < 3:  # otherwise most kills would hit the start of the runner
        return []
    chosen = rng.choices(list(levels), [0.3 if level == 0 else 1.0 for level in levels])[0]
    try:
        os.kill(rng.choice(levels[chosen]), signal.SIGKILL)
    except ProcessLookupError:
        return []
    return [chosen]


def depth(pid: int, ancestor: int) -> int:
    """Return the number of generations between a process and its ancestor; -1 if it is not a descendant."""
    for generation in range(20):
        if pid == ancestor:
            return generation
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return -1
    return -1


def marked(mark: str) -> list[int]:
    """Return the live processes with the mark in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"{MARK}={mark}".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def training_sweep(folder: Path, steps: int) -> list[str]:
    """Write a sweep of 12 tiny training runs, half of them on two processes; return the command that runs it."""
    fixed = ["--run.group=storm", "--run.wandb=disabled", "--run.checkpoint_every=20", "--trainer.accelerator=cpu"]
    small = ["--data.root=shapes", "--data.shapes.train=32", "--data.shapes.val=8", "--data.shapes.size=96"]
    length = [f"--trainer.max_steps={steps}", "--trainer.val_check_interval=4", "--trainer.strategy=ddp"]
    config = ["fit", "--config", str(REPOSITORY / "experiments/quickstart/ssd.yaml")]
    sweep = {
        "method": "grid",
        "metric": {"name": "val/map_50", "goal": "maximize"},
        "parameters": {
            "trainer.devices": {"values": [1, 2]},
            "model.optimizer.lr": {"values": [0.001, 0.002]},
            "seed_everything": {"values": [1, 2, 3]},
        },
        "command": ["${env}", "${interpreter}", "-m", "lit_cv", *config, *fixed, *small, *length, "${args}"],
    }
    folder.mkdir(parents=True)
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep, sort_keys=False))
    return [sys.executable, "-m", "lit_cv", "sweep", "sweep.yaml", "--workers", "3", "--retry-failed"]


def outcome(folder: Path) -> dict[str, object]:
    """Return the metrics and weights of each run of a folder by run id."""
    files = sorted(folder.glob("runs/storm/*/result.json"))
    return {file.parent.name: (json.loads(file.read_bytes())["metrics"], weights(file.parent)) for file in files}


def weights(run: Path) -> dict[str, list[float]]:
    """Return a run's final weights as plain numbers, which ``==`` compares to the last bit."""
    import torch

    state = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
    return {name: tensor.flatten().tolist() for name, tensor in state.items()}


def main() -> None:
    """Run the sweep with and without kills, compare the results and print figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--pause", type=float, default=6.0, help="mean seconds between two kills")
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    calm, stormy = options.folder / "calm", options.folder / "stormy"
    start = time.monotonic()
    subprocess.run(training_sweep(calm, options.steps), cwd=calm, check=True)
    print(f"calm: {time.monotonic() - start:.0f} s", flush=True)
    result = storm(training_sweep(stormy, options.steps), stormy, kills=options.kills, pause=options.pause, seed=1)
    print(
        f"stormy: {result.seconds:.0f} s, {result.calls} calls, killed by depth {dict(sorted(result.killed.items()))}"
    )
    once = all(len(versions) == 1 for versions in result.results.values())
    expected, found = outcome(calm), outcome(stormy)
    print(f"{len(found)} results, each once: {once}, equal to the calm sweep's: {found == expected}")
    print(f"processes left: {len(result.left)}")
    sys.exit(0 if once and len(found) == 12 and found == expected and not result.left else 1)


if __name__ == "__main__":
    main()

"""A fake project for tests: ``python fake_project.py fit --config C ...`` writes a run folder like a training run.

Optional keys of the config: ``sleep`` (seconds; default: FAKE_SLEEP), ``fail`` (bool), ``child`` (start a child process
that lives for a minute) and ``rank`` (sleep in a second process whose failure fails the run).
"""

import json
import os
import subprocess
import sys
import time
import zlib
from pathlib import Path

import yaml

from lit_cv.runs.files import write_json
from lit_cv.runs.folder import is_finished, run_folder
from lit_cv.runs.settings import merged_arguments

PROGRAM = str(Path(__file__))
METRIC_FACTS = {
    "val/map_50": {"percent": True, "higher_is_better": True},
    "val/map": {"percent": True, "higher_is_better": True},
    "train/loss": {"percent": False, "higher_is_better": False},
}
COMMAND = ["${interpreter}", PROGRAM, "fit", "--config", "experiment.yaml", "--run.group=study", "${args}"]


def runner_command(**options):
    """Return a command that runs ``sweep.yaml`` of the working folder."""
    words = "".join(f", {name}={value!r}" for name, value in options.items())
    run = f"run_sweep(Path('sweep.yaml'), preflight=lambda *_: None{words})"
    return [
        sys.executable,
        "-c",
        f"import sys; from pathlib import Path; from lit_cv.commands.sweep import run_sweep; sys.exit({run})",
    ]


def write_run(folder: Path, *, seed=1, config=None, score=0.5, command=("fit",), loss=None, **changes):
    """Write a finished run; ``changes`` replace fields of its result. ``loss`` is its first training loss."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({"seed_everything": seed, **(config or {})}))
    curve = [f"{step},{step // 50},val/map_50,{score * step / 200}" for step in (50, 100, 150, 200)]
    loss = zlib.crc32(folder.name.encode()) if loss is None else loss  # by default no two runs are bit-identical
    lines = ["step,epoch,name,value", f"0,0,train/loss,{loss}", *curve, "200,4,train/loss,0.25"]
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    result = {
        "id": folder.name,
        "group": folder.parent.name,
        "status": "finished",
        "command": list(command),
        "seed": seed,
        "metrics": {"val/map_50": score, "val/map": score / 2, "train/loss": 0.25},
        "metric_facts": METRIC_FACTS,
        "best": {"metric": "val/map_50", "mode": "max", "value": score, "step": 200},
        "steps": 200,
        "epochs": 4,
        "params": 1_234_567,
        "gflops": 3.21,
        "seconds_per_image": 0.012,
        "fit_seconds": 60.0,
        "peak_memory_gb": 0.9,
        "git": {"commit": "1a2b3c4d5e6f", "dirty": False},
        "versions": {"python": "3.11.7", "torch": "2.15.0"},
        "hardware": {"device": "a CPU", "devices": 1, "threads": 2},
        "data": {"fingerprint": "9f8e7d6c", "counts": {"images": 10}},
    }
    write_json(folder / "result.json", result | changes)


def change(folder: Path, **changes) -> None:
    """Replace fields of a run's result."""
    result = json.loads((folder / "result.json").read_text())
    write_json(folder / "result.json", result | changes)


def main(args):
    folder, settings = run_folder(args), merged_arguments(args)
    if is_finished(folder):
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "starts.txt").open("a") as starts:
        starts.write("start\n")
    print("training with", args, flush=True)
    if settings.get("child"):
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", settings["marker"]])
    sleep = float(settings.get("sleep", os.environ.get("FAKE_SLEEP", 0)))
    if settings.get("rank"):
        if (code := subprocess.call(["sleep", str(sleep)])) != 0:
            print("the other rank ended with", code, file=sys.stderr)
            return 1
    else:
        time.sleep(sleep)
    if settings.get("fail"):
        print("ValueError: the learning rate is cursed", file=sys.stderr)
        return 3
    config = {key: value for key, value in settings.items() if key.startswith(("model", "data", "trainer"))}
    steps = settings.get("trainer.max_steps", 200)
    cost, step = {}, settings.get("step_seconds", 0.0) * (2 if settings.get("model.network.size") == 128 else 1)
    if step:
        pace = {"first_step": 3 * step, "step": step if steps > 1 else None, "validation": 6.0, "batches": 3}
        cost = {"steps": steps, "fit_seconds": 5 + steps * step, "pace": {**pace, "total": 6 + (steps + 2) * step}}
    score = settings["model.lr"]
    write_run(folder, seed=settings["seed_everything"], config=config, score=score, command=args, **cost)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A fake project for tests that logs ten steps to W&B like ``litcv fit``: ``python logging_project.py fit ...``.

After five steps, a run with the seed ``wait`` of the experiment waits for a file ``go``. A run with the seed ``die``
dies then.
"""

import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import wandb

sys.path.insert(0, str(Path(__file__).parents[2]))

from lit_cv.errors import UserError
from lit_cv.runs.files import write_json
from lit_cv.runs.folder import is_finished, run_folder
from lit_cv.runs.settings import merged_arguments
from lit_cv.tracking.log import STEP
from lit_cv.tracking.run import identity, log_result, logged, replay, tell_finished, under_agent
from tests.helpers.fake_project import write_run

STEPS = 10


def main(args):
    folder, settings = run_folder(args), merged_arguments(args)
    folder.mkdir(parents=True, exist_ok=True)
    print(f"run: {folder}", flush=True)
    command = [arg for arg in args if arg != "--resume"]
    write_json(folder / "run.json", {"id": folder.name, "command": command, "started": datetime.now(UTC).isoformat()})
    known = identity(folder, "auto", "lit-cv")
    if is_finished(folder):
        if under_agent():
            tell_finished(folder, known)
        return
    seed, config = settings["seed_everything"], {"model": {"lr": settings["model.lr"]}}
    with logged(folder, known):
        run = wandb.init(**known, dir=folder, config={"seed_everything": seed, **config}, resume="allow")
        replay(folder, run)
        score = train(folder, run, settings)
        rows = (folder / "metrics.csv").read_text()
        write_run(folder, seed=seed, config=config, score=score, command=args)
        (folder / "metrics.csv").write_text(rows)
        log_result(folder)


def train(folder, run, settings):
    file, seed = folder / "metrics.csv", settings["seed_everything"]
    done = len(file.read_text().splitlines()) - 1 if file.exists() else 0
    with file.open("a") as rows:
        rows.write("" if done else "step,epoch,name,value\n")
        for step in range(done, STEPS):
            score = settings["model.lr"] + seed + step / 100
            print(f"{step},0,val/map_50,{score}", file=rows, flush=True)
            run.log({"val/map_50": score, STEP: step})
            while step == 4 and settings.get("wait") == seed and not Path("go").exists():
                time.sleep(0.05)
            if step == 4 and settings.get("die") == seed:
                os.kill(os.getpid(), signal.SIGKILL)
    return score


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {error}")

"""Tests of ``litcv fit`` under the real agent: a run stopped by W&B ends with all its processes and can continue."""

import subprocess
import sys
import time
import uuid
import zipfile
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[3]
OPTIONS = [
    "--data.shapes.train=16",
    "--data.shapes.val=2",
    "--data.batch_size=2",
    "--data.num_workers=1",
    "--trainer.log_every_n_steps=1",
    "--trainer.max_steps=100000",
    "--model.scheduler=null",
    "--trainer.val_check_interval=100000",
    "--trainer.accelerator=cpu",
    "--trainer.devices=2",
    "--trainer.strategy=ddp",
    "--run.checkpoint_every=2",
]


@pytest.mark.long
def test_a_run_stopped_by_wandb_leaves_no_process_and_can_continue(server):
    mark = f"data-{uuid.uuid4().hex}"
    fit = [
        "${env}",
        "${interpreter}",
        "-m",
        "lit_cv",
        "fit",
        "--config",
        f"{REPOSITORY}/experiments/quickstart/ssd.yaml",
    ]
    sweep = {
        "method": "grid",
        "command": [*fit, *OPTIONS, f"--data.root={mark}", "--run.group=study", "${args}"],
        "parameters": {"seed_everything": {"values": [1]}},
    }
    Path("sweep.yaml").write_text(yaml.safe_dump(sweep))
    subprocess.run(["wandb", "sweep", "--project", "lit-cv", "sweep.yaml"], check=True, capture_output=True)
    with Path("log").open("w") as log:
        agent = subprocess.Popen(["wandb", "agent", "tester/lit-cv/sweep0"], stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: list(Path("runs/study").glob("*/checkpoints/last.ckpt")) or agent.poll() is not None)
        assert len(processes(mark)) >= 4  # each rank has a loader worker
        server.stop.add("trial0")
        assert agent.wait(timeout=120) == 0, Path("log").read_text()[-3000:]
    finally:
        agent.kill()
    wait_until(lambda: not processes(mark), 5)
    (folder,) = Path("runs/study").iterdir()
    assert server.runs["trial0"].state == "killed"
    assert zipfile.is_zipfile(folder / "checkpoints" / "last.ckpt")
    assert not (folder / "result.json").exists()
    assert "Traceback" not in Path("log").read_text()


@pytest.mark.long
def test_kill_minus_9_of_an_agent_ends_its_run_and_the_run_s_children(tmp_path):
    mark = uuid.uuid4().hex
    child = f"import time; time.sleep(60); {mark!r}"
    run = (
        "import subprocess, sys, time\n"
        "from lit_cv.process_guard import end_group_with_leader\n"
        f"end_group_with_leader(); subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    )
    start = f"import subprocess, sys; subprocess.call([sys.executable, '-c', {run!r}], process_group=0)"
    agent = subprocess.Popen([sys.executable, "-c", start])
    wait_until(lambda: len(processes(mark)) == 3)
    agent.kill()
    agent.wait()
    wait_until(lambda: not processes(mark), 10)


def processes(text):
    """Return the ids of live processes whose command line contains the text."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().decode()
            except OSError:
                continue
            if text in line:
                found.append(int(entry.name))
    return found


def wait_until(condition, seconds=400):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)

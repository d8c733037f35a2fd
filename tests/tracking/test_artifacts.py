"""The artifacts of a run reach W&B with their lineage, also if the run was offline."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import wandb

from lit_cv.runs.files import write_json
from lit_cv.tracking.artifacts import log_artifacts
from lit_cv.tracking.report import log_report
from lit_cv.tracking.run import Mode, finish
from lit_cv.tracking.sync import sync
from tests.tracking.artifact_server import ArtifactServer

pytestmark = pytest.mark.slow
FILES = {"checkpoints/best.ckpt": b"best", "checkpoints/last.ckpt": b"last", "predictions/val/scores.npy": b"scores"}
DATA = {"fingerprint": "0123456789abcdef", "counts": {"val/images": 4}}


@pytest.mark.parametrize("mode", ["offline", pytest.param("online", marks=pytest.mark.long)])
def test_artifacts_arrive_with_their_lineage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_SERVICE", raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    with ArtifactServer() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        for name in ("first", "second"):
            folder = tmp_path / "runs/study" / name
            for file, content in FILES.items():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).write_bytes(content + name.encode())
            write_json(folder / "result.json", {"data": DATA, "steps": 7, "best": None, "metrics": {"val/map": 0.5}})
            script = f"import tests.tracking.test_artifacts as t; t.log({str(folder)!r}, {name!r}, {mode!r})"
            subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
        report = [tmp_path / "made" / name for name in ("report.md", "table.csv", "effects.png")]
        report[0].parent.mkdir()
        for file in report:
            file.write_bytes(file.name.encode())
        script = f"import tests.tracking.test_artifacts as t; t.log_made({list(map(str, report))!r}, {mode!r})"
        subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
        if mode == "offline":
            assert not server.artifacts
            assert sync(tmp_path / "runs/study") == 0
        for artifact in server.artifacts:
            assert artifact.state == "COMMITTED"
        (made,) = [artifact for artifact in server.artifacts if artifact.kind == "report"]
        assert (made.name, made.run.startswith("report-")) == ("report-study", True)
        assert [server.content(made, file.name) for file in report] == [file.name.encode() for file in report]
        (data,) = [artifact for artifact in server.artifacts if artifact.kind == "dataset"]
        assert (data.name, sorted(data.users), data.metadata) == ("data-0123456789abcdef", ["first", "second"], DATA)
        assert json.loads(server.content(data, "data.json")) == DATA
        for name in ("first", "second"):
            own = {artifact.name: artifact for artifact in server.artifacts if artifact.run == name}
            model, found = own[f"checkpoints-{name}"], own[f"predictions-{name}-val"]
            assert (model.kind, model.metadata["steps"], found.kind) == ("model", 7, "predictions")
            assert server.content(model, "best.ckpt") == b"best" + name.encode()
            assert server.content(model, "last.ckpt") == b"last" + name.encode()
            assert server.content(found, "scores.npy") == b"scores" + name.encode()


def log(folder: str, name: str, mode: str) -> None:
    """Be the process of a run that has ended its training."""
    wandb.init(id=name, project="lit-cv", mode=mode, dir=folder)
    log_artifacts(Path(folder))
    finish(Path(folder))


def log_made(files: list[str], mode: Mode) -> None:
    """Be the process of `litcv report`."""
    log_report(list(map(Path, files)), Path("runs/study"), mode)

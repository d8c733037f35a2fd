"""Artifacts of a run on W&B: the data that it used, and its checkpoints and predictions.

Private part of W&B's client (checked with 0.31): ``Run._log_artifact``, since ``use_artifact`` refuses offline runs.
"""

import json
from pathlib import Path
from typing import Any

import wandb

from lit_cv.runs.files import read_json

CHECKPOINTS = ("best.ckpt", "last.ckpt")


def log_artifacts(folder: Path) -> None:
    """Log the artifacts of a finished run to the W&B run that is open; do nothing without one.

    * ``data-<fingerprint>`` (type ``dataset``), an input of the run: fingerprint and counts, but no images. Runs on
      equal data share it, so its lineage lists them.
    * ``checkpoints-<run>`` (type ``model``): ``best.ckpt`` and ``last.ckpt``.
    * ``predictions-<run>-<split>`` (type ``predictions``), for each folder in ``predictions/`` of the run.

    Offline, the log names the files in the run's folder, and the upload reads them there.

    Args:
        folder: Folder of the run, with its ``result.json``.
    """
    run = wandb.run
    if run is None:
        return
    result = read_json(folder / "result.json")
    run._log_artifact(_data(result["data"]), use_after_commit=True)
    made = {key: result.get(key) for key in ("steps", "best", "metrics")}
    files = [file for name in CHECKPOINTS if (file := folder / "checkpoints" / name).exists()]
    model = wandb.Artifact(f"checkpoints-{run.id}", "model", metadata=made)
    for file in files:
        model.add_file(str(file), policy="immutable")  # not copied: checkpoints are large
    if files:
        run.log_artifact(model)
    for split in sorted(path for path in (folder / "predictions").glob("*") if path.is_dir()):
        found = wandb.Artifact(f"predictions-{run.id}-{split.name}", "predictions", metadata=made)
        found.add_dir(str(split), policy="immutable")
        run.log_artifact(found)


def _data(data: dict[str, Any]) -> wandb.Artifact:
    artifact = wandb.Artifact(f"data-{data['fingerprint']}", "dataset", metadata=data)
    with artifact.new_file("data.json") as file:
        file.write(json.dumps(data, sort_keys=True))
    return artifact

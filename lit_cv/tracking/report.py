"""The report of a sweep on W&B: its table, figures and page as an artifact."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import wandb

from lit_cv.tracking.log import OF_REPORTS
from lit_cv.tracking.run import Mode, default_project, logged, mode

KIND = "report"


def log_report(files: Sequence[Path], group: Path, wanted: Mode, project: str | None = None) -> None:
    """Log the files of a report as the artifact ``report-<group>`` (type ``report``) of a W&B run of the same group.

    The run has the job type ``report``. Its id follows from the group, so that a later report is the artifact's next
    version. Its log lies in ``<group>/report``, where ``litcv sweep --sync`` finds it.

    Args:
        files: The files, whose names differ.
        group: Folder of the sweep's runs.
        wanted: Mode, as for a run.
        project: W&B project of the runs; None: the default one.

    Raises:
        UserError: W&B refuses the run or cannot be reached when it starts.
    """
    name, folder = group.resolve().name, group / "report"
    known: dict[str, Any] = {
        "id": f"{OF_REPORTS}{hashlib.sha256(name.encode()).hexdigest()[:10]}",
        "name": f"report {name}",
        "group": name,
        "project": project or default_project(),
        "mode": mode(wanted),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with logged(folder, known):
        settings = wandb.Settings(silent=True)
        run = wandb.init(**known, dir=folder.resolve(), job_type=KIND, resume="allow", settings=settings)
        artifact = wandb.Artifact(f"{KIND}-{re.sub(r'[^0-9A-Za-z_.-]', '-', name)}", KIND)
        for file in files:
            artifact.add_file(str(file))
        run.log_artifact(artifact)
        print(f"logged to W&B: {run.dir if run.offline else run.url}")

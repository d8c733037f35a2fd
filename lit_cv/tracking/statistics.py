"""The statistics of a data set on W&B."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb

from lit_cv.runs.settings import merged_arguments
from lit_cv.tracking.run import Mode, default_project, logged, mode


def log_statistics(
    page: Path, config: Path, overrides: Sequence[str], wanted: Mode, numbers: Mapping[str, float]
) -> None:
    """Log a page of statistics and its numbers as a run of the job type `statistics`.

    The run belongs to the experiment's project. Its id follows from the name of the page, so that a later page takes
    its place.

    Args:
        page: The HTML file; an offline log lies beside it.
        config: The experiment.
        overrides: Dotted options of the experiment.
        wanted: Mode, as for a run.
        numbers: The numbers of the page by name.

    Raises:
        UserError: W&B refuses the run or cannot be reached when it starts.
    """
    settings = merged_arguments(["--config", str(config), *overrides])
    known: dict[str, Any] = {
        "id": f"statistics-{page.stem}",
        "name": f"statistics {page.stem}",
        "project": settings.get("run.project") or default_project(),
        "mode": mode(wanted),
    }
    with logged(page.parent, known):
        run = wandb.init(
            **known,
            dir=page.parent.resolve(),  # the client's process may work in another folder
            job_type="statistics",
            config=dict(settings),
            resume="allow",
            settings=wandb.Settings(silent=True),
        )
        run.log({"statistics": wandb.Html(page.read_text(encoding="utf-8"), inject=False)})
        run.summary.update(dict(numbers))
        print(f"logged to W&B: {run.dir if run.offline else run.url}")

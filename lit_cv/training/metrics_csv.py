"""The run's own log: one number per line, readable during the run and without any service."""

import csv
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

COLUMNS = ("step", "epoch", "name", "value")


class MetricsCSV(Logger):
    """Append every logged number to `metrics.csv` as `step,epoch,name,value`.

    Nothing is rewritten, so a kill loses nothing. A run that continues from a checkpoint repeats the rows after it:
    of two rows with the same step and name, the later one counts.

    Args:
        folder: Folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / "metrics.csv"

    @property
    def name(self) -> str:
        """Return the name of the logger."""
        return "metrics.csv"

    @property
    def version(self) -> str:
        """Return the run's id, which is the name of its folder."""
        return self.path.parent.name

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append one row per number."""
        epoch = int(metrics.pop("epoch", -1))
        new = not self.path.exists()
        with self.path.open("a", newline="") as handle:
            writer = csv.writer(handle)
            if new:
                writer.writerow(COLUMNS)
            writer.writerows((step, epoch, name, repr(float(value))) for name, value in sorted(metrics.items()))

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Do nothing: `config.yaml` has them."""

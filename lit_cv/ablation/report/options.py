"""The options of a report."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Options:
    """The compared values and the written files, as on the command line of ``litcv report``.

    Attributes:
        metric: Logged name; by default the sweep's metric, else the metric that selected the best checkpoint.
        value: ``last``: a run counts with its last validation; ``best``: with its best one.
        baseline: ``key=value`` pairs separated by commas; by default the first arm.
        output: Folder of the report; by default ``report/`` in the first group folder.
        published: CSV with published numbers; by default ``published/<group>.csv`` beside the sweep file.
        compare: ``baseline``, or ``all``: also all pairs of arms.
        resolve: Difference, in the unit of the table, whose number of seeds the report names.
        checklist: Write the reproducibility checklist, too.
        images: Whether to resample the images of runs' predictions; None: if it is little work. What is kept of
            earlier calls is used again.
    """

    metric: str | None = None
    value: str = "last"
    baseline: str | None = None
    output: Path | None = None
    published: Path | None = None
    compare: str = "baseline"
    resolve: float | None = None
    checklist: bool = False
    images: bool | None = False

    @property
    def given(self) -> dict[str, Any]:
        """The options that differ from their defaults."""
        values = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        return {name: value for name, (value, default) in values.items() if value != default}

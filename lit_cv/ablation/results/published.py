"""Published numbers for the arms of a sweep: ``sweeps/published/<group>.csv``.

The file starts with ``#`` lines (paper, table, protocol), followed by a header with the swept keys and ``published``,
and one row per arm. Values are written as on the command line (``[128, 256]``, ``true``, ``ssd``). A further column
``published_std``, or ``±``, holds the deviation that the source gives; it is empty where the source gives none.
``67.2 ± 0.2`` in the column ``published`` is the same. A line ``# protocol: key=value; key=value`` holds the settings
that follow the paper; the report names those that differ.
"""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lit_cv.ablation.results.study import Arm, Study, level_value
from lit_cv.ablation.sweep.labels import show
from lit_cv.errors import UserError
from lit_cv.runs.settings import canonical, distinct
from lit_cv.runs.yaml_text import parse_yaml

COLUMN = "published"
DEVIATIONS = ("published_std", "±")
PROTOCOL = "protocol:"


@dataclass(frozen=True)
class Published:
    """Published numbers, their source, file and protocol.

    Attributes:
        source: Paper, table and protocol in words.
        values: Published values by the canonical text of the arm's swept values.
        file: The file.
        protocol: Settings that follow the paper.
        deviations: Deviations that the source gives, by the same texts.
    """

    source: str
    values: dict[str, float]
    file: Path
    protocol: dict[str, Any]
    deviations: dict[str, float] = field(default_factory=dict)

    def of(self, arm: Arm) -> float | None:
        """Return the published value of an arm; None if there is none."""
        return self.values.get(_arm_text(arm.values))

    def deviation_of(self, arm: Arm) -> float | None:
        """Return the deviation that the source gives for an arm; None if it gives none."""
        return self.deviations.get(_arm_text(arm.values))

    def differences(self, study: Study) -> list[str]:
        """Return the settings of the protocol that some of our runs do not have, in words."""
        texts = []
        for key, value in self.protocol.items():
            found = [run.config.get(key) for _, run in study.runs]
            own = distinct(other for other in found if canonical(other) != canonical(value))
            if own and key not in study.swept:
                texts.append(f"{key} is {' or '.join(map(show, own))} (protocol: {show(value)})")
        return texts


def find_published(study: Study, *, maximize: bool) -> Path | None:
    """Return ``published/<group>.csv`` beside the sweep file, if it exists and has the same direction as the metric."""
    if study.sweep_file is None or len(study.folders) > 1:
        return None
    if study.metric and (study.metric.goal == "maximize") != maximize:
        return None
    file = study.sweep_file.parent / "published" / f"{study.folders[0].resolve().name}.csv"
    return file if file.exists() else None


def load_published(file: Path, study: Study) -> Published:
    """Read published values for the arms of a study.

    Raises:
        UserError: The file is missing, its columns are not the swept keys, or a value is not a number.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error}); pass an existing file with --published.") from None
    comments = [line.lstrip("# ").rstrip() for line in lines if line.startswith("#")]
    source = "; ".join(line for line in comments if not line.startswith(PROTOCOL))
    words = [word for line in comments if line.startswith(PROTOCOL) for word in line.removeprefix(PROTOCOL).split(";")]
    rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    own = [name for name in DEVIATIONS if rows and name in rows[0]]
    if not rows or len(own) > 1 or set(rows[0]) != {*study.swept, COLUMN, *own}:
        raise UserError(
            f"{file}: its columns must be {', '.join([*study.swept, COLUMN])}, and {' or '.join(DEVIATIONS)} if the "
            "source gives deviations; fix its header or the sweep."
        )
    values, deviations = dict[str, float](), dict[str, float]()
    try:
        for row in rows:
            if None in row.values() or None in row:
                raise ValueError(f"a row has {'fewer' if None in row.values() else 'more'} values than the header")
            text = _arm_text({key: parse_yaml(row[key]) for key in study.swept})
            value, _, deviation = row[COLUMN].partition("±")
            values[text] = _finite(value)
            if deviation := deviation.strip() or (row[own[0]].strip() if own else ""):
                deviations[text] = _finite(deviation, least=0.0)
        settings = [word.partition("=") for word in words]
        protocol = {key.strip(): parse_yaml(text) for key, _, text in settings}
    except ValueError as error:
        raise UserError(f"{file}: contains an invalid value ({error}); fix the row.") from None
    return Published(source, values, file, protocol, deviations)


def _finite(text: str, least: float = -math.inf) -> float:
    """Read a number; raise a ValueError if it is not finite or is below ``least``."""
    number = float(text)
    if not math.isfinite(number) or number < least:
        raise ValueError(f"{text} is no {'deviation, which is at least 0' if least == 0.0 else 'finite number'}")
    return number


def _arm_text(values: Mapping[str, Any]) -> str:
    return canonical({key: level_value(value) for key, value in values.items()})

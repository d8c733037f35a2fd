"""Records of finished sweeps: all that ``litcv report`` reads from the runs' folders, without weights and predictions.

A record is JSON with one line for each run. Equal parts of configs and results are stored once, in ``shared``. Curves
are those of the compared metrics and of ``train/loss``, which is thinned. Dates, links and the pace of the last process
are left out, so that a sweep that was killed and continued has the record of one that was not.
"""

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lit_cv.errors import UserError
from lit_cv.runs.files import read_json, read_rows, read_yaml, replaced, write_json, write_yaml
from lit_cv.runs.leaks import leak_file
from lit_cv.runs.records import PLAN, RESULT, read_record
from lit_cv.runs.settings import canonical
from lit_cv.runs.structure import COST_FILE
from lit_cv.runs.yaml_text import parse_yaml

LOSS = "train/loss"
MOST_LOSSES = 40  # of a run's curve
LEFT_OUT = ("started", "finished", "pace", "wandb_url")  # of a result
PARTS = ("name", "sweep", "plan", "cost", "leaks", "shared", "runs")


def pack(group: Path, metrics: Sequence[str]) -> dict[str, Any]:
    """Return the record of a finished sweep.

    Args:
        group: Folder of the runs.
        metrics: Metrics whose curves are kept.

    Raises:
        UserError: A run is unfinished, or a file is damaged.
    """
    plan = read_record(group / "sweep.json", PLAN)
    plan["file"] = "sweeps/" + f"/{plan['file']}".rpartition("/sweeps/")[2]
    shared: dict[str, int] = {}
    runs = {
        entry["id"]: _pack_run(group / entry["id"], metrics, shared) for arm in plan["arms"] for entry in arm["runs"]
    }
    prints = sorted({read_json(group / name / "result.json")["data"]["fingerprint"] for name in runs})
    record = {
        "name": group.name,
        "sweep": (group / "sweep.yaml").read_text(encoding="utf-8"),
        "plan": plan,
        "cost": _cost(group / COST_FILE),
        "leaks": {one: read_json(leak_file(group, one)) for one in prints if leak_file(group, one).exists()},
        "shared": [json.loads(text) for text in shared],
        "runs": runs,
    }
    return json.loads(_without_places(json.dumps(record)))  # type: ignore[no-any-return]


def _cost(file: Path) -> dict[str, Any] | None:
    return {key: value for key, value in read_json(file).items() if key != "measured"} if file.exists() else None


def _pack_run(folder: Path, metrics: Sequence[str], shared: dict[str, int]) -> dict[str, Any]:
    result = read_record(folder / "result.json", RESULT)
    rows = read_rows(folder)
    return {
        "config": _share(read_yaml(folder / "config.yaml"), shared),
        "result": _share({key: value for key, value in result.items() if key not in LEFT_OUT}, shared),
        "curves": {name: _curve(rows, name, shared) for name in (*metrics, LOSS)},
    }


def _share(content: Mapping[str, Any], shared: dict[str, int]) -> dict[str, int]:
    """Return the place of each value among the shared ones, and add those that are new."""
    return {key: _place(value, shared) for key, value in content.items()}


def _place(value: Any, shared: dict[str, int]) -> int:
    return shared.setdefault(json.dumps(value), len(shared))


def _curve(rows: Iterable[Sequence[str]], name: str, shared: dict[str, int]) -> list[Any]:
    """Return the place of the steps and epochs, which runs share, and the values as they were written.

    Of a step that was repeated after a resume, the last value counts.
    """
    found = [*{row[0]: row for row in rows if row[2] == name}.values()]
    if name == LOSS and len(found) > MOST_LOSSES:
        found = [found[round(place * (len(found) - 1) / (MOST_LOSSES - 1))] for place in range(MOST_LOSSES)]
    values = [f"{float(row[3]):.4g}" if name == LOSS else row[3] for row in found]
    return [_place([row[:2] for row in found], shared), values]


def _without_places(text: str) -> str:
    """Replace the folders of this machine: the data of the tests by its variable, the project by a relative path."""
    data = os.environ.get("LITCV_TEST_DATA")
    places = {**({data: "$LITCV_TEST_DATA"} if data else {}), f"{Path.cwd()}/": ""}
    for place, name in places.items():
        text = text.replace(place, name)
    return text


def write_record(file: Path, record: Mapping[str, Any]) -> None:
    """Write a record with one line for each shared value and each run, under a temporary name first."""

    def block(value: Any) -> str:
        if isinstance(value, list):
            return "[\n" + ",\n".join(json.dumps(item) for item in value) + "\n]"
        if isinstance(value, dict):
            return "{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(item)}" for key, item in value.items()) + "\n}"
        return json.dumps(value)

    file.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(f"{json.dumps(key)}: {block(value)}" for key, value in record.items())
    with replaced(file) as temporary:
        temporary.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


def load_record(file: Path) -> dict[str, Any]:
    """Read a record.

    Raises:
        UserError: The file is no record.
    """
    try:
        record = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read ({error}); restore it, or run the sweep again.") from None
    missing = [part for part in PARTS if not isinstance(record, dict) or part not in record]
    if missing:
        raise UserError(f"{file}: `{missing[0]}` is missing; restore the file, or run the sweep again.")
    return record  # type: ignore[no-any-return]


def unpack(record: Mapping[str, Any], root: Path) -> Path:
    """Write the folders of the runs below ``root``, as ``litcv report`` reads them, and return that of the group."""
    group = root / record["name"]
    for name, run in record["runs"].items():
        folder = group / name
        folder.mkdir(parents=True)
        write_yaml(folder / "config.yaml", {key: record["shared"][place] for key, place in run["config"].items()})
        write_json(folder / "result.json", {key: record["shared"][place] for key, place in run["result"].items()})
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["step", "epoch", "name", "value"])
        for curve, (place, values) in run["curves"].items():
            writer.writerows([*at, curve, value] for at, value in zip(record["shared"][place], values, strict=True))
        (folder / "metrics.csv").write_text(out.getvalue(), encoding="utf-8")
    write_json(group / "sweep.json", record["plan"])
    (group / "sweep.yaml").write_text(record["sweep"], encoding="utf-8")
    if record["cost"]:
        write_json(group / COST_FILE, record["cost"])
    for fingerprint, found in record["leaks"].items():
        leak_file(group, fingerprint).parent.mkdir(exist_ok=True)
        write_json(leak_file(group, fingerprint), found)
    return group


def same_sweep(record: Mapping[str, Any], sweep: Path) -> bool:
    """Return whether a record is of the runs that a sweep file describes today."""
    now, then = (_runs_of(text) for text in (sweep.read_text(encoding="utf-8"), record["sweep"]))
    return now == then


def _runs_of(text: str) -> str:
    content = parse_yaml(text)
    return canonical({key: content.get(key) for key in ("method", "parameters", "command")})


def seconds(record: Mapping[str, Any]) -> list[float]:
    """Return the seconds of each run's training and validation, as the runs have recorded them."""
    return [float(record["shared"][run["result"]["fit_seconds"]]) for run in record["runs"].values()]

"""Run folders for a report, restored from W&B's offline logs or its server."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson
import yaml

from lit_cv.errors import UserError
from lit_cv.runs.files import write_json
from lit_cv.runs.near import did_you_mean_path
from lit_cv.runs.records import PLANNED_METRIC, RESTORED, checked, read_record
from lit_cv.tracking.log import HEADER_BYTES, OF_REPORTS, RESULT, STEP, records, started
from lit_cv.tracking.server import address, ask, has_key

NOT_SETTINGS = ("_wandb", "config")  # keys of a run's config that W&B and its sweeps add
NOT_METRICS = (STEP, "epoch")


def read_offline(logs: Iterable[Path]) -> dict[str, Any]:
    """Read the offline logs (`run-ID.wandb`) of one run, in the order of their start.

    Returns:
        `id`, `group`, `config` (nested, as it was logged), `summary` (the last value of everything that was logged)
        and `history` (one mapping for each `run.log`).

    Raises:
        UserError: A log cannot be read.
    """
    run: dict[str, Any] = {"id": None, "group": None, "config": {}, "summary": {}, "history": []}
    for log in logs:
        for record in records(log):
            if record["type"] == "run":
                run |= {"id": record["run"]["run_id"], "group": record["run"].get("run_group")}
                run["config"] |= record["run"].get("config", {}).get("update", {})
            elif record["type"] == "config":
                run["config"] |= record["config"].get("update", {})
            elif record["type"] == "summary":
                run["summary"] |= record["summary"].get("update", {})
            elif record["type"] == "history":
                run["history"].append(record["history"]["item"])
    return run


def read_server(path: str) -> list[dict[str, Any]]:
    """Read the runs of a sweep, `ENTITY/PROJECT/SWEEP`, from W&B's server; each is as `read_offline` returns it.

    Raises:
        UserError: The path is a mistyped folder, there is no key, or the server refuses it, cannot be reached or has no
            such sweep.
    """
    if near := did_you_mean_path(Path(path)):
        raise UserError(f"--wandb {path}: there is no such folder{near}")
    if not has_key():
        raise UserError(f"--wandb {path}: there is no key for W&B at {address()}; set WANDB_API_KEY.")
    runs: list[dict[str, Any]] = ask("runs", path=path, history=True)
    if not runs:
        raise UserError(f"--wandb {path}: W&B at {address()} has no runs of this sweep.")
    return runs


def restore(source: str, root: Path = Path("runs/wandb")) -> Path:
    """Write the finished runs of a source as run folders, into a folder below `root` with the name of the source.

    Args:
        source: Folder with W&B's offline logs anywhere below it, or `ENTITY/PROJECT/SWEEP`.
        root: Parent of the new folder.

    Returns:
        The folder; `litcv report` reads it like any group of runs.

    Raises:
        UserError: The source has no finished run or cannot be read.
    """
    runs = _read_folder(Path(source)) if Path(source).is_dir() else read_server(source)
    group, finished = root / Path(source).resolve().name, [run for run in runs if RESULT in run["summary"]]
    if not finished:
        raise UserError(f"--wandb {source}: none of its {len(runs)} runs has finished.")
    results = [_result(source, run) for run in finished]
    same_group = len({result["group"] for result in results}) == 1
    for run, result in zip(finished, results, strict=True):  # two groups may hold runs with equal arguments
        _write(run, result, group / (result["id"] if same_group else f"{result['group']}-{result['id']}"))
    metric = _metric(Path(source), root, results) if Path(source).is_dir() else ask("metric", path=source)
    if metric:
        write_json(group / "metric.json", {"name": metric["name"], "goal": metric.get("goal", "minimize")})
    else:
        print(f"{source}: W&B's records do not name the sweep's metric; without --metric, the checkpoints' is used.")
    print(f"{source}: {len(finished)} of {len(runs)} runs are finished; their folders: {group}")
    return group


def _result(source: str, run: Mapping[str, Any]) -> dict[str, Any]:
    place, text = f"--wandb {source}: the result of run {run['id']}", run["summary"][RESULT]
    try:
        return checked(place, orjson.loads(text), RESTORED)
    except (orjson.JSONDecodeError, TypeError) as error:
        raise UserError(f"{place}: is no JSON ({error}); leave its log out.") from None


def _metric(source: Path, root: Path, results: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the metric of the sweep from `sweep.json`, in the folder of the logs or of the group; None without one."""
    groups = {result["group"] for result in results}
    folders = [source, *(root.parent / group for group in groups if len(groups) == 1)]
    files = [folder / "sweep.json" for folder in folders]
    plans = [read_record(file, PLANNED_METRIC) for file in files if file.exists()]
    return next((plan["metric"] for plan in plans if plan.get("metric")), None)


def _read_folder(folder: Path) -> list[dict[str, Any]]:
    found = (log for log in folder.rglob("*run-*/run-*.wandb") if log.stat().st_size > HEADER_BYTES)
    found = (log for log in found if not log.name.startswith(f"run-{OF_REPORTS}"))
    logs = sorted(found, key=lambda log: (log.name, started(log)))
    return [read_offline(parts) for _, parts in groupby(logs, key=lambda log: log.name)]


def _write(run: Mapping[str, Any], result: Mapping[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config = {key: value for key, value in run["config"].items() if key not in NOT_SETTINGS and "." not in key}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with (folder / "metrics.csv").open("w", newline="") as lines:
        rows = csv.writer(lines)
        rows.writerow(("step", "epoch", "name", "value"))
        for item in (item for item in run["history"] if STEP in item):
            step, epoch = item[STEP], item.get("epoch", -1)
            if not (_is_number(step) and _is_number(epoch)):
                raise UserError(f"{run['id']}: W&B has logged the step {step!r} of epoch {epoch!r}; leave its log out.")
            rows.writerows(
                (step, int(epoch), name, repr(float(value)))
                for name, value in item.items()
                if name not in NOT_METRICS and not name.startswith("_") and _is_number(value)
            )
    write_json(folder / "result.json", result)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)

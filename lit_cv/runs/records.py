"""The JSON records of runs and sweeps, checked when they are read: copies, edits and full disks can damage them."""

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from lit_cv.errors import UserError
from lit_cv.runs.files import read_json


class Form(NamedTuple):
    """A form of a value: its name, and whether a value has it."""

    words: str
    fits: Callable[[Any], bool]


class Kind(NamedTuple):
    """A kind of record.

    Attributes:
        needed: Forms of the fields that every record has, by dotted name.
        optional: Forms of the fields that may be missing.
        nullable: Forms of the fields that may be missing or null.
        fix: Advice for a damaged record.
    """

    needed: Mapping[str, Form]
    optional: Mapping[str, Form]
    nullable: Mapping[str, Form]
    fix: str


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _mapping_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def _list_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _folder(value: Any) -> bool:
    return _text(value) and value not in ("", ".", "..") and not set(value) & {"/", "\0"} and len(value.encode()) < 256


def _time(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value.replace("Z", "+00:00")).tzinfo is not None
    except (ValueError, AttributeError):
        return False


def _facts(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("percent"), bool)
        and isinstance(value.get("higher_is_better"), bool)
        and (value.get("trivial") is None or _number(value["trivial"]))
    )


def _best(value: Any) -> bool:
    return isinstance(value, dict) and _text(value.get("metric")) and value.get("mode") in ("min", "max")


def _metric(value: Any) -> bool:
    goals = ("maximize", "minimize")
    return (
        isinstance(value, dict) and set(value) == {"name", "goal"} and _text(value["name"]) and value["goal"] in goals
    )


def _planned(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _folder(value.get("id"))
        and "seed" in value
        and (value["seed"] is None or isinstance(value["seed"], int))
        and (value.get("essence") is None or _text(value["essence"]))
    )


def _arm(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("values"), dict)
        and isinstance(value.get("runs"), list)
        and all(map(_planned, value["runs"]))
        and (value.get("point") is None or _list_of(_number)(value["point"]))
    )


def _stages(value: Any) -> bool:
    forms: dict[str, Callable[[Any], bool]] = {
        **{"metric": _text, "wanted": _number, "needed": _count, "half": _number},
        **{"first": _list_of(_count), "seeds": _list_of(_count)},
    }
    whole = isinstance(value, dict) and value.keys() == forms.keys()
    return whole and all(fits(value[key]) for key, fits in forms.items()) and bool(value["first"] and value["seeds"])


TEXT = Form("a text", _text)
COUNT = Form("a whole number, at least 0", _count)
NUMBER = Form("a number", _number)
WORDS = Form("a list of texts", _list_of(_text))
MAPPING = Form("a mapping", lambda value: isinstance(value, dict))
NUMBERS = Form("a mapping of names to numbers", _mapping_of(lambda value: value is None or _number(value)))
RATES = Form("a mapping of names to numbers", _mapping_of(_number))
FACTS = Form("a mapping of metrics to `percent` and `higher_is_better`", _mapping_of(_facts))
YES = Form("true or false", lambda value: isinstance(value, bool))
TIME = Form("a time", _time)
FOLDER = Form("the name of a folder", _folder)
SEED = Form("a whole number", lambda value: isinstance(value, int))
JOBS = Form("a mapping of jobs to their tasks and runs", _mapping_of(_mapping_of(_text)))
BEST = Form("a mapping with `metric` and `mode`", _best)
METRIC = Form("a metric's name and goal", _metric)
GOAL = Form("maximize or minimize", lambda value: value in ("maximize", "minimize"))
STAGES = Form("the design of two stages", _stages)
ARMS = Form("a list of arms with `values` and `runs`", _list_of(_arm))

RESULT = Kind(
    {
        **{"command": WORDS, "metrics": NUMBERS, "steps": COUNT, "epochs": COUNT, "fit_seconds": NUMBER},
        **{"git": MAPPING, "data": MAPPING, "data.fingerprint": TEXT},
    },
    {
        **{"id": FOLDER, "group": FOLDER, "status": TEXT, "started": TIME, "finished": TIME, "stopped_early": YES},
        **{"git.earlier_commits": WORDS, "versions": MAPPING, "hardware": MAPPING},
        **{
            "metric_facts": FACTS,
            "data.counts": NUMBERS,
            "optimization": MAPPING,
            "optimization.learning_rate": MAPPING,
        },
        **{"optimization.learning_rate.peak": NUMBER, "optimization.learning_rate.groups": RATES},
    },
    {
        **{"seed": SEED, "git.commit": TEXT, "best": BEST, "started_from": MAPPING, "started_from.checkpoint": TEXT},
        **{"initial_weights": MAPPING, "stopped_by": TEXT, "wandb_url": TEXT},
        **{"stopped": MAPPING, "stopped.step": COUNT, "stopped.reason": TEXT},
        **{"params": COUNT, "trainable_params": COUNT, "gflops": NUMBER},
        **{"seconds_per_image": NUMBER, "peak_memory_gb": NUMBER},
    },
    "delete its run folder and run it again",
)
SCORED = Kind({"metrics": NUMBERS}, {}, {}, RESULT.fix)  # the part of a result that a search needs
RESTORED = RESULT._replace(needed={**RESULT.needed, "id": FOLDER, "group": FOLDER}, fix="leave its log out")
PLAN = Kind(
    {"name": TEXT, "description": TEXT, "file": TEXT, "swept": WORDS, "arms": ARMS},
    {"method": TEXT},
    {"metric": METRIC, "search_seed": TEXT, "stages": STAGES},
    "delete it, and call `litcv sweep` again, which writes it",
)
STAGED = Kind({}, {}, {"stages": STAGES}, PLAN.fix)
PLANNED_METRIC = Kind({}, {}, {"metric": METRIC}, "delete it, and give --metric")  # the part of a plan that stays
BEGUN = Kind({"command": WORDS, "id": FOLDER, "started": TIME}, {}, {}, RESULT.fix)
FAILURE = Kind({"reason": TEXT, "time": TEXT}, {"error": TEXT}, {}, "delete the file, so that the run starts again")
METRIC_FILE = Kind({"name": TEXT, "goal": GOAL}, {}, {}, "restore it, or delete it and give --metric")
LEAKS = Kind(
    {"finished": YES, "seconds": NUMBER},
    {"images": NUMBERS, "leaks": COUNT, "examples": WORDS},
    {},
    "delete it, and call `litcv sweep` or `litcv report --measure` again, which write it",
)
SUBMITTED = Kind({"jobs": JOBS}, {}, {}, "delete it, and submit the sweep again")
ON_SERVER = Kind({"path": TEXT, "digest": TEXT}, {}, {}, "delete it to start another sweep on W&B")
MISSING = object()


def read_record(file: Path, kind: Kind) -> dict[str, Any]:
    """Read a record.

    Raises:
        UserError: The file is missing, is not a JSON object, or lacks a field or has one of another form.
    """
    return checked(str(file), read_json(file), kind)


def checked(place: str, record: Any, kind: Kind) -> dict[str, Any]:
    """Return a record as it is.

    Args:
        place: The file, for the message.
        record: The record.
        kind: Its kind.

    Raises:
        UserError: It is no mapping, lacks a field or has one of another form.
    """
    if not isinstance(record, dict):
        raise UserError(f"{place}: holds no JSON object; {kind.fix}.")
    for name, form in {**kind.needed, **kind.optional, **kind.nullable}.items():
        value: Any = record
        for key in name.split("."):
            value = value.get(key, MISSING) if isinstance(value, dict) else MISSING
        if (value is MISSING and name not in kind.needed) or (value is None and name in kind.nullable):
            continue
        if not form.fits(value):
            shown = "is missing" if value is MISSING else f"is {_short(value)}, not {form.words}"
            raise UserError(f"{place}: `{name}` {shown}; {kind.fix}.")
    return record


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

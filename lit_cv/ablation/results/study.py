"""Reads finished runs from their folders and groups them into the arms of an ablation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lit_cv.ablation.sweep.labels import CLASS, CONFIG, is_object, short_names, show_level, with_names
from lit_cv.ablation.sweep.stages import Stages, recorded
from lit_cv.ablation.sweep.sweep_file import SEED, Metric
from lit_cv.errors import UserError
from lit_cv.runs.file_kinds import binary_kind
from lit_cv.runs.files import read_curve, read_json, read_yaml
from lit_cv.runs.near import near_path
from lit_cv.runs.records import METRIC_FILE, PLAN, RESULT, checked, read_record
from lit_cv.runs.settings import canonical, distinct, flatten, setting, split_arguments

GROUP = "group"
NOT_FACTORS = (CONFIG, "resume", SEED)


@dataclass(frozen=True)
class Run:
    """One finished run.

    Attributes:
        folder: The run folder.
        result: Content of ``result.json``.
        seed: Seed of the run; None if it was not seeded.
    """

    folder: Path
    result: dict[str, Any]
    seed: int | None

    @property
    def name(self) -> str:
        """Name in findings, ``group/id``."""
        return f"{self.folder.parent.name}/{self.folder.name}"

    @property
    def metrics(self) -> dict[str, float | None]:
        """Final value of every logged metric; None if it is not finite."""
        return self.result["metrics"]  # type: ignore[no-any-return]

    @cached_property
    def config(self) -> dict[str, Any]:
        """Resolved config with dotted keys; the run's id is replaced by ``*``, so that paths into run folders agree."""
        file = self.folder / "config.yaml"
        if not file.is_file():
            raise UserError(f"{file}: missing, so the run cannot be compared; delete the run folder and run it again.")
        flat = flatten(read_yaml(file))
        places = (f"{self.folder.parent.name}/{self.folder.name}", self.folder.name)
        return {key: _without(value, places) for key, value in flat.items()}

    @property
    def experiment(self) -> str | None:
        """Experiment file in the command."""
        files = [str(value) for key, value in split_arguments(self.result["command"]) if key == CONFIG]
        return files[-1] if files else None

    def curve(self, metric: str) -> dict[int, float]:
        """Return the values in ``metrics.csv`` by step; of a step repeated after a resume, the last value counts."""
        return read_curve(self.folder, metric)


@dataclass(frozen=True)
class Unfinished:
    """A run without a result: active, stopped, or never started.

    Attributes:
        folder: The run folder, which may not exist.
        values: Values set by the sweep, by dotted key; empty without a sweep.
        seed: Seed set by the sweep, or None.
    """

    folder: Path
    values: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None

    @property
    def state(self) -> str:
        """State in words."""
        return "unfinished" if self.folder.exists() else "not started"

    @property
    def problem(self) -> str:
        """Sentence that says why the report is incomplete."""
        seed = "" if self.seed is None else f", seed {self.seed}"
        which = f" ({_label(self.values)}{seed})" if self.values else ""
        state = "is unfinished" if self.folder.exists() else "was never started"
        return f"{self.folder.parent.name}/{self.folder.name}{which} {state}."


@dataclass
class Arm:
    """The runs that share all swept values and differ only in the seed.

    Attributes:
        values: Swept values by dotted key.
        runs: Runs by seed.
        label: Name in tables.
    """

    values: dict[str, Any]
    runs: dict[int | None, Run] = field(default_factory=dict)
    label: str = ""


@dataclass
class Study:
    """The data of one report.

    Attributes:
        title: Description or name of the sweep.
        folders: Group folders.
        sweep_file: Sweep file of the first group, if any.
        metric: Metric of the sweep, if any.
        swept: Dotted keys of the factors. If several groups are compared, ``group`` may be the first one.
        arms: Arms in the order of the sweep.
        seeds: Seeds that every arm should have.
        problems: One sentence per run that repeats another one or has no finite metric.
        method: Method of the sweep: ``grid``, or a search whose arms have one run each.
        declared: All keys in the sweep file, including those with one value.
        unfinished: Runs without a result.
        logarithmic: Maps each key with a distribution to whether it is one of logarithms.
        stages: Design of a sweep whose seeds were counted by the spread of the first ones, if any.
    """

    title: str
    folders: list[Path]
    sweep_file: Path | None
    metric: Metric | None
    swept: list[str]
    arms: list[Arm]
    seeds: list[int | None]
    problems: list[str]
    method: str = "grid"
    declared: list[str] = field(default_factory=list)
    unfinished: list[Unfinished] = field(default_factory=list)
    logarithmic: dict[str, bool] = field(default_factory=dict)
    stages: Stages | None = None

    @property
    def runs(self) -> list[tuple[Arm, Run]]:
        """Every run with its arm."""
        return [(arm, run) for arm in self.arms for run in arm.runs.values()]


def _without(value: Any, places: Sequence[str]) -> Any:
    if isinstance(value, list):
        return [_without(item, places) for item in value]
    if isinstance(value, dict):
        return {key: _without(item, places) for key, item in value.items()}
    for place in places if isinstance(value, str) else ():
        value = value.replace(place, "*")
    return value


def load_study(folders: Sequence[Path], *, partial: bool = False) -> Study:
    """Read group folders (``runs/<group>``) into arms.

    A group created by ``litcv sweep`` is read by its ``sweep.json``. In other groups, the overrides in which the runs
    differ define the arms.

    Args:
        folders: Group folders.
        partial: Whether the sweep is still active: arms without a finished run are kept, and no run must be finished.

    Raises:
        UserError: A folder is missing, or it has no finished run and ``partial`` is not given.
    """
    studies = [_load_group(folder) for folder in folders]
    for study in studies:
        if not study.runs and not (partial and study.unfinished):
            raise UserError(f"{study.folders[0]}: contains no finished run (no */result.json); run the sweep first.")
        if not partial:
            study.arms = [arm for arm in study.arms if arm.runs]
    study = studies[0] if len(studies) == 1 else _merge(studies)
    for arm, values in zip(study.arms, with_names([arm.values for arm in study.arms]), strict=True):
        arm.values = values
        arm.label = _label(arm.values) or study.title
    return study


def _load_group(folder: Path) -> Study:
    if folder.is_file():
        what = binary_kind(folder) or "this is a file"
        raise UserError(f"{folder}: {what}; pass the folder of a group of runs, such as runs/quickstart.")
    if not folder.is_dir():
        near = near_path(folder) or Path("runs/quickstart")
        group = near.parent if (near / "run.json").exists() else near
        raise UserError(f"{folder}: there is no such folder; pass a group of runs such as {group}.")
    if (folder / "run.json").exists() or (folder / "result.json").exists():
        raise UserError(f"{folder}: is a single run, and a report compares the runs of a group; pass {folder.parent}.")
    groups = sorted({str(file.parents[1]) for file in folder.glob("*/*/run.json")})
    if groups and not any(folder.glob("*/run.json")):
        raise UserError(f"{folder}: holds groups of runs; pass one of {', '.join(groups[:5])}, or several.")
    return _load_sweep_group(folder) if (folder / "sweep.json").exists() else _load_plain_group(folder)


def _load_run(folder: Path) -> Run:
    result = read_json(folder / "result.json")
    if result.get("status") != "finished" or not isinstance(result.get("metrics"), dict):
        raise UserError(
            f"{folder / 'result.json'}: is not a finished result with metrics; delete the run folder and run it again."
        )
    return Run(folder, checked(str(folder / "result.json"), result, RESULT), result.get("seed"))


def _load_sweep_group(folder: Path) -> Study:
    plan = read_record(folder / "sweep.json", PLAN)
    method, metric = plan.get("method", "grid"), Metric(**plan["metric"]) if plan.get("metric") else None
    arms, unfinished, problems = [], [], []
    for planned in plan["arms"]:
        # None: not given to this arm
        arm = Arm({key: level_value(planned["values"].get(key)) for key in plan["swept"]})
        for entry in planned["runs"]:
            place = folder / entry["id"]
            run = _load_run(place) if (place / "result.json").exists() else None
            if run and method != "grid" and metric and run.metrics.get(metric.name, 0) is None:
                problems.append(f"{run.name} ({_label(arm.values)}) has no finite metric.")
            elif run:
                arm.runs[entry["seed"]] = run
            else:
                unfinished.append(Unfinished(place, arm.values, entry["seed"]))
        arms.append(arm)
    return Study(
        title=plan["description"].splitlines()[0] if plan["description"] else plan["name"],
        folders=[folder],
        sweep_file=Path(plan["file"]),
        metric=metric,
        swept=plan["swept"],
        arms=arms,
        seeds=distinct(entry["seed"] for planned in plan["arms"] for entry in planned["runs"]),
        problems=problems,
        method=method,
        declared=distinct(key for planned in plan["arms"] for key in planned["values"]),
        unfinished=unfinished,
        logarithmic=_logarithmic(folder / "sweep.yaml"),
        stages=recorded(folder),
    )


def level_value(value: Any) -> Any:
    """Return the value of a level; W&B can pass null only as the text ``null``."""
    return None if value == "null" else value


def _logarithmic(sweep: Path) -> dict[str, bool]:
    """Return for each key with a distribution in a sweep file whether its logarithm is uniform or normal."""
    block = read_yaml(sweep).get("parameters") if sweep.exists() else None
    flat = flatten(block) if isinstance(block, dict) else {}
    specs = {key.replace(".parameters.", "."): value for key, value in flat.items()}
    names = {key.removesuffix(".distribution"): value for key, value in specs.items() if key.endswith(".distribution")}
    return {key: "log_" in str(name) for key, name in names.items()}


def _load_plain_group(folder: Path) -> Study:
    runs = [_load_run(file.parent) for file in sorted(folder.glob("*/result.json"))]
    begun = sorted(file.parent for file in folder.glob("*/run.json") if not (file.parent / "result.json").exists())
    problems = []
    overridden = distinct(key for run in runs for key, _ in split_arguments(run.result["command"]))
    factors = [key for key in overridden if key not in NOT_FACTORS and not key.startswith("run.")]
    levels = {key: _levels(runs, key, factors) for key in factors}
    swept = [key for key in factors if len(distinct(levels[key])) > 1]
    arms: dict[str, Arm] = {}
    for number, run in enumerate(runs):
        values = {key: levels[key][number] for key in swept}
        arm = arms.setdefault(canonical(values), Arm(values))
        if run.seed in arm.runs:
            problems.append(
                f"{run.name} repeats seed {run.seed} of {arm.runs[run.seed].name} with the same swept values."
            )
        arm.runs.setdefault(run.seed, run)
    seeds = sorted({run.seed for run in runs}, key=str)
    unfinished = [Unfinished(place) for place in begun]
    known = folder / "metric.json"  # of a sweep restored from W&B
    metric = Metric(**read_record(known, METRIC_FILE)) if known.exists() else None
    return Study(
        folder.name, [folder], None, metric, swept, list(arms.values()), seeds, problems, unfinished=unfinished
    )


def _levels(runs: Sequence[Run], key: str, factors: Sequence[str]) -> list[Any]:
    """Return the value of a factor in each run; of objects, the class and the arguments that differ within a class.

    The other arguments of a class are its defaults, or factors of their own.
    """
    below = [factor.removeprefix(f"{key}.") for factor in factors if factor.startswith(f"{key}.")]
    values = [setting(run.config, key) for run in runs]
    values = [_except(value, below) if isinstance(value, dict) else value for value in values]
    objects = [value for value in values if is_object(value)]
    for path in distinct(value[CLASS] for value in objects):
        same = [value for value in objects if value[CLASS] == path]
        common = [name for name in same[0] if name != CLASS and len(distinct(value.get(name) for value in same)) == 1]
        values = [_except(value, common) if any(value is one for one in same) else value for value in values]
    return values


def _except(values: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _merge(studies: Sequence[Study]) -> Study:
    """Merge several groups into one study.

    Its factors are the keys set by a group's sweep that differ between the arms. If these do not distinguish all arms,
    the group is the first factor.
    """
    arms = [(study.folders[0].name, arm) for study in studies for arm in study.arms if arm.runs]
    keys = distinct(key for study in studies for key in (*study.declared, *study.swept))
    settings = [{GROUP: group, **{key: _setting(arm, key) for key in keys}} for group, arm in arms]
    swept = [key for key in keys if len(distinct(setting[key] for setting in settings)) > 1]
    if len(distinct([setting[key] for key in swept] for setting in settings)) < len(arms):
        swept = [GROUP, *swept]
    return Study(
        title=" and ".join(study.folders[0].name for study in studies),
        folders=[folder for study in studies for folder in study.folders],
        sweep_file=studies[0].sweep_file,
        metric=studies[0].metric,
        swept=swept,
        arms=[
            Arm({key: setting[key] for key in swept}, arm.runs)
            for setting, (_, arm) in zip(settings, arms, strict=True)
        ],
        seeds=distinct(seed for study in studies for seed in study.seeds),
        problems=[problem for study in studies for problem in study.problems],
        unfinished=[run for study in studies for run in study.unfinished],
    )


def _setting(arm: Arm, key: str) -> Any:
    run = next(iter(arm.runs.values()))
    return level_value(arm.values.get(key, run.experiment if key == CONFIG else setting(run.config, key)))


def _label(values: Mapping[str, Any]) -> str:
    names = short_names(list(values))
    return ", ".join(f"{short}={show_level(key, values[key])}" for key, short in names.items())

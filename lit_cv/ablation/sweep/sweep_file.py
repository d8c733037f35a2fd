"""Reads an unmodified W&B sweep file and expands it into the trials and commands of W&B's own agent.

Nothing here needs W&B or the network. Schema: https://docs.wandb.ai/guides/sweeps/define-sweep-configuration
"""

import hashlib
import itertools
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lit_cv.ablation.sweep.distributions import MOST_VALUES, Coordinate, Distribution, Levels
from lit_cv.ablation.sweep.hyperband import Hyperband, make_hyperband
from lit_cv.ablation.sweep.parameters import Space, grid_values, nest, read_parameters, refuse_unknown, settings_of
from lit_cv.ablation.sweep.stages import Stages
from lit_cv.errors import UserError
from lit_cv.runs.file_kinds import binary_kind
from lit_cv.runs.files import similar
from lit_cv.runs.settings import canonical, distinct
from lit_cv.runs.yaml_text import ShowingLoader, parse_yaml

SEED = "seed_everything"
SWEEP_KEYS = ("name", "description", "project", "entity", "program", "method", "parameters", "metric", "command",
              "early_terminate", "run_cap", "controller", "apiVersion", "kind")  # fmt: skip
SERVER_KEYS = ("job", "image_uri", "scheduler", "metrics")  # keys of W&B Launch and of sweeps with their own scheduler
METHODS = ("grid", "random", "bayes")
METRIC_KEYS = ("name", "goal", "target", "impute", "impute_while_running")
DEFAULT_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")


@dataclass(frozen=True)
class Metric:
    """The compared metric: its logged name and whether to ``maximize`` or ``minimize`` it.

    Once a run reaches ``target``, no other run is started.
    """

    name: str
    goal: str
    target: float | None = None


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes:
        program: Words before the arguments, such as ``/usr/bin/env python -m lit_cv``.
        args: Words after the program, starting with ``fit``; they define the run.
        values: Maps dotted parameters, including the seed, to values.
        point: Position in the space of a search, one coordinate per parameter.
    """

    program: list[str]
    args: list[str]
    values: dict[str, Any]
    point: tuple[Coordinate, ...] = ()

    @property
    def seed(self) -> int | None:
        """The trial's seed, if the sweep sets one."""
        return self.values.get(SEED)


@dataclass(frozen=True)
class Sweep:
    """A checked sweep file.

    Attributes:
        parameters: Every value of each parameter of a grid, in the order of the file; otherwise empty.
        space: Distribution of each parameter, by its path through nested blocks.
        definition: Content of the file.
        run_cap: Maximum number of runs.
        hyperband: The ``early_terminate`` block.
        stages: Seeds that were added to those of the file (``--resolve``).
    """

    path: Path
    name: str
    description: str
    program: str
    method: str
    metric: Metric | None
    command: tuple[str, ...]
    parameters: dict[str, list[Any]]
    space: Space
    definition: dict[str, Any]
    run_cap: int | None
    hyperband: Hyperband | None
    stages: Stages | None = None

    def trials(self, interpreter: str = sys.executable) -> list[Trial]:
        """Return all trials of a grid in a fixed order: every arm at the first seed, then every arm at the next seed.

        Therefore, a sweep that is stopped early leaves comparable arms. Within a seed, the first parameter of the file
        varies slowest.

        Args:
            interpreter: Replaces ``${interpreter}``; W&B's agent uses ``python``.

        Raises:
            UserError: The command is not usable.
        """
        slowest_first = sorted(self.parameters, key=lambda key: key != SEED)
        combinations = itertools.product(*(self.parameters[key] for key in slowest_first))
        return [
            self._trial(dict(zip(slowest_first, chosen, strict=True)), interpreter)
            for chosen in itertools.islice(combinations, self.run_cap)
        ]

    def trial_at(self, point: Sequence[Coordinate], interpreter: str = sys.executable) -> Trial:
        """Return the trial of a search at a point of its space.

        Raises:
            UserError: The command is not usable.
        """
        chosen = {
            place: distribution.value(coordinate)
            for (place, distribution), coordinate in zip(self.axes, point, strict=True)
        }
        return self._trial(nest(chosen), interpreter, tuple(point))

    def swept(self) -> list[str]:
        """Return the dotted parameters that take more than one value: the factors of the ablation.

        The seed of a grid is not a factor, because it only repeats the arms.
        """
        if self.method == "grid":
            trials = [trial.values for trial in self.trials()]
            keys = dict.fromkeys(key for values in trials for key in values if key != SEED)
            return [key for key in keys if len(distinct(values.get(key) for values in trials)) > 1]
        keys = {}
        for place, distribution in self.space.items():
            levels = distribution.values if isinstance(distribution, Levels) else (0.0, 1.0)
            several = levels if isinstance(levels, list | tuple) else levels[:2]  # a range of integers may be long
            for level in several if len(levels) > 1 else ():
                keys |= dict.fromkeys(settings_of(nest({place: level}), [place]))
        return list(keys)

    @property
    def axes(self) -> list[tuple[tuple[str, ...], Distribution]]:
        """The parameters of a search in the order of a point's coordinates; it differs from the order of the file."""
        return sorted(self.space.items())

    @property
    def search_seed(self) -> str:
        """Random seed of a search: a hash of its ``parameters``, so that equal spaces give equal trials."""
        return hashlib.sha256(canonical(self.definition["parameters"]).encode()).hexdigest()

    def _trial(self, values: dict[str, Any], interpreter: str, point: tuple[Coordinate, ...] = ()) -> Trial:
        words = expand_command(self, values, interpreter)
        if "fit" not in words:
            example = (
                '["${env}", "${interpreter}", "-m", "lit_cv", "fit", "--config", "experiments/....yaml", "${args}"]'
            )
            raise UserError(f"{self.path}: the command has no `fit`; write `command: {example}`.")
        start = words.index("fit")
        return Trial(words[:start], words[start:], settings_of(values, self.space), point)


def load_sweep(path: Path) -> Sweep:
    """Read and check a sweep file.

    Raises:
        UserError: The file is missing, is not YAML, or has an unknown key or a value that the command line would
            misread.
    """
    content = read_sweep_yaml(path)
    for key in SERVER_KEYS:
        if key in content:
            raise UserError(f"{path}: `{key}` needs W&B's server (Launch, schedulers); write a `command` instead.")
    if {"model", "data"} <= set(content):
        raise UserError(f"{path}: is an experiment, no sweep file; train it with `litcv fit {path}`.")
    refuse_unknown(path, content, SWEEP_KEYS, "sweep key")
    method = content.get("method")
    if method not in METHODS:
        raise UserError(f"{path}: `method` is {method!r}; write one of {', '.join(METHODS)}.")
    space = read_parameters(path, content.get("parameters"))
    _refuse_nested_seeds(path, space)
    command = content.get("command") or DEFAULT_COMMAND
    if not isinstance(command, list | tuple):
        raise UserError(f"{path}: `command` must be a list of words, one per line, not {command!r}.")
    metric, hyperband = _metric(path, content.get("metric")), _hyperband(path, content.get("early_terminate"))
    for name, needs_metric in (("method: bayes", method == "bayes"), ("early_terminate", hyperband is not None)):
        if needs_metric and metric is None:
            raise UserError(f"{path}: `{name}` needs a `metric`, such as `metric: {{name: val/map, goal: maximize}}`.")
    return Sweep(
        path=path,
        name=str(content.get("name") or path.stem),
        description=str(content.get("description") or "").strip(),
        program=str(content.get("program") or ""),
        method=method,
        metric=metric,
        command=tuple(str(word) for word in command),
        parameters=grid_values(path, space) if method == "grid" else {},
        space=space,
        definition=content,
        run_cap=_run_cap(path, content.get("run_cap")),
        hyperband=hyperband,
    )


def expand_command(sweep: Sweep, values: Mapping[str, Any], interpreter: str) -> list[str]:
    """Return the words of a trial's command as in W&B's agent: alphabetical order, Python's ``str`` of each value.

    Raises:
        UserError: A macro is unknown or is only part of a word (W&B would drop it or pass it on unexpanded).
    """
    macros = _macros(values) | {"env": ["/usr/bin/env"], "interpreter": [interpreter], "program": [sweep.program]}
    if "${args_json_file}" in sweep.command:
        macros["args_json_file"] = [_json_file(sweep.name, macros["args_json"][0])]
    words: list[str] = []
    for raw in sweep.command:
        word = re.sub(r"\$\{envvar:([A-Z0-9_]*)\}", lambda match: os.environ.get(match[1], match[1]), raw)
        if "${" not in word:
            words.append(word)
        elif word[2:-1] in macros and word.startswith("${") and word.endswith("}"):
            words += macros[word[2:-1]]
        else:
            known = ", ".join(f"${{{name}}}" for name in (*macros, "args_json_file", "envvar:NAME"))
            raise UserError(
                f"{sweep.path}: '{raw}' in `command` is not a known macro; known macros, each a separate word: {known}."
            )
    return words


def _macros(values: Mapping[str, Any]) -> dict[str, list[str]]:
    ordered = {key: values[key] for key in sorted(values)}
    plain = [f"{key}={value}" for key, value in ordered.items()]
    no_booleans = [
        f"--{key}" if value is True else f"--{key}={value}" for key, value in ordered.items() if value is not False
    ]
    return {
        "args": [f"--{word}" for word in plain],
        "args_no_equals": [word for key, value in ordered.items() for word in (f"--{key}", str(value))],
        "args_no_hyphens": plain,
        "args_no_boolean_flags": no_booleans,
        "args_json": [json.dumps(ordered)],
        "args_append_hydra": [f"+{word}" for word in plain],
        "args_override_hydra": [f"++{word}" for word in plain],
    }


def _json_file(sweep: str, text: str) -> str:
    """Write a file with the parameters below ``wandb/``, as W&B's agent does, but named by its content."""
    file = Path("wandb") / f"sweep-{sweep}" / f"config-{hashlib.sha256(text.encode()).hexdigest()[:10]}.json"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(file)
    return str(file)


def read_sweep_yaml(path: Path) -> dict[str, Any]:
    """Return the unchecked content of a sweep file.

    Raises:
        UserError: The file is missing or does not contain a YAML mapping.
    """
    try:
        content = parse_yaml(path.read_text(encoding="utf-8-sig"), ShowingLoader)
    except (OSError, UnicodeDecodeError) as error:
        near = similar(path) if isinstance(error, FileNotFoundError) else ""
        fix = near or "; name an existing file such as sweeps/quickstart.yaml."
        what = (
            "there is no such file"
            if isinstance(error, FileNotFoundError)
            else binary_kind(path) or f"cannot read this sweep file ({error})"
        )
        raise UserError(f"{path}: {what}{fix}") from None
    except ValueError as error:
        raise UserError(f"{path}: {binary_kind(path) or f'not valid YAML: {error}'}.") from None
    if not isinstance(content, dict):
        what = binary_kind(path) or "not a sweep; it must be a mapping with `method`, `parameters` and `command`"
        raise UserError(f"{path}: {what}.")
    return content


def _refuse_nested_seeds(path: Path, space: Space) -> None:
    seeds = space.get((SEED,))
    for value in seeds.values if isinstance(seeds, Levels) and isinstance(seeds.values, list | tuple) else ():
        if isinstance(value, list | dict):
            raise UserError(f"{path}: parameter `{SEED}` has the value {value!r}; write whole numbers, as in [1, 2].")


def _metric(path: Path, spec: Any) -> Metric | None:
    if spec is None:
        return None
    if not isinstance(spec, dict) or "name" not in spec:
        raise UserError(
            f"{path}: `metric` needs a `name` and a `goal`, such as `metric: {{name: val/map, goal: maximize}}`."
        )
    refuse_unknown(path, spec, METRIC_KEYS, "metric key")
    goal = spec.get("goal", "minimize")  # W&B's own default
    if goal not in ("maximize", "minimize"):
        raise UserError(f"{path}: the metric's `goal` is {goal!r}; write maximize or minimize.")
    target = spec.get("target")
    if target is not None and (
        isinstance(target, bool) or not isinstance(target, int | float) or not abs(target) <= sys.float_info.max
    ):
        raise UserError(f"{path}: the metric's `target` is {target!r}; write a number.")
    for key, meaning in (("impute", "worst"), ("impute_while_running", "false")):
        if str(spec.get(key, meaning)).lower() != meaning:
            raise UserError(f"{path}: the metric's `{key}` is {spec[key]!r}; only {meaning} is supported.")
    return Metric(str(spec["name"]), goal, target)


def _hyperband(path: Path, spec: Any) -> Hyperband | None:
    try:
        return None if spec is None else make_hyperband(spec)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def _run_cap(path: Path, cap: Any) -> int | None:
    if cap is not None and (isinstance(cap, bool) or not isinstance(cap, int) or cap < 1):
        raise UserError(f"{path}: `run_cap` is {cap!r}; write the maximum number of runs, at least 1.")
    if cap is not None and cap > MOST_VALUES:
        raise UserError(f"{path}: `run_cap` is {cap}; write at most {MOST_VALUES:,}.")
    return cap

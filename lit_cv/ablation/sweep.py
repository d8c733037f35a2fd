"""The W&B sweep file, unmodified, expanded into the trials and command lines that W&B's own agent would run.

Nothing here needs W&B or the network. Schema: https://docs.wandb.ai/guides/sweeps/define-sweep-configuration
"""

import difflib
import itertools
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lit_cv.ablation.values import canonical, distinct, flatten
from lit_cv.errors import UserError

SEED = "seed_everything"
SWEEP_KEYS = ("name", "description", "project", "entity", "program", "method", "parameters", "metric", "command")
LATER_KEYS = ("early_terminate", "run_cap")
METHODS = ("grid", "random", "bayes")
PARAMETER_KEYS = ("value", "values", "parameters")
SEARCH_KEYS = ("distribution", "min", "max", "mu", "sigma", "q", "probabilities")
DEFAULT_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")
SCIENTIFIC = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


@dataclass(frozen=True)
class Metric:
    """What the sweep compares: the logged name and whether to `maximize` or `minimize` it."""

    name: str
    goal: str


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes:
        program: the words before the arguments, such as `/usr/bin/env python -m lit_cv`.
        args: the words after the program, starting with `fit`: they define the run.
        values: dotted parameter -> value, the seed included.
    """

    program: list[str]
    args: list[str]
    values: dict[str, Any]

    @property
    def seed(self) -> int | None:
        """The trial's seed, if the sweep sets one."""
        return self.values.get(SEED)


@dataclass(frozen=True)
class Sweep:
    """A checked sweep file. `parameters` holds every value of each parameter, in the order of the file."""

    path: Path
    name: str
    description: str
    program: str
    method: str
    metric: Metric | None
    command: tuple[str, ...]
    parameters: dict[str, list[Any]]

    def trials(self, interpreter: str = sys.executable) -> list[Trial]:
        """All trials, in a fixed order: every arm at the first seed, then every arm at the next seed.

        So a sweep that is stopped early leaves arms that can be compared. Within a seed the parameter that the file
        names first varies slowest.

        Args:
            interpreter: what `${interpreter}` stands for; W&B's agent writes `python`.

        Raises:
            UserError: the method is not `grid`, two trials are equal, or the command is not usable.
        """
        if self.method != "grid":
            raise UserError(
                f"{self.path}: method '{self.method}' is not supported yet; "
                "write `method: grid` and the `values` of each parameter."
            )
        slowest_first = sorted(self.parameters, key=lambda key: key != SEED)
        return [
            self._trial(dict(zip(slowest_first, chosen, strict=True)), interpreter)
            for chosen in itertools.product(*(self.parameters[key] for key in slowest_first))
        ]

    def swept(self) -> list[str]:
        """The dotted parameters that take more than one value, without the seed: the factors of the ablation."""
        trials = [trial.values for trial in self.trials()]
        return [key for key in trials[0] if key != SEED and len(distinct(values[key] for values in trials)) > 1]

    def _trial(self, values: dict[str, Any], interpreter: str) -> Trial:
        words = expand_command(self, values, interpreter)
        if "fit" not in words:
            example = (
                '["${env}", "${interpreter}", "-m", "lit_cv", "fit", "--config", "experiments/....yaml", "${args}"]'
            )
            raise UserError(f"{self.path}: the command has no `fit`; write `command: {example}`.")
        start = words.index("fit")
        return Trial(words[:start], words[start:], flatten(values))


def load_sweep(path: Path) -> Sweep:
    """Read and check a sweep file.

    Raises:
        UserError: the file is missing, is not YAML, has an unknown key, or a value that the command line would misread.
    """
    content = _read_yaml(path)
    _refuse_unknown(path, content, SWEEP_KEYS, "sweep key")
    method = content.get("method")
    if method not in METHODS:
        raise UserError(f"{path}: `method` is {method!r}; write one of {', '.join(METHODS)}.")
    parameters = content.get("parameters")
    if not isinstance(parameters, dict) or not parameters:
        raise UserError(f"{path}: `parameters` is missing or empty; name at least one parameter with `values`.")
    command = content.get("command") or DEFAULT_COMMAND
    if not isinstance(command, list | tuple):
        raise UserError(f"{path}: `command` must be a list of words, one per line, not {command!r}.")
    return Sweep(
        path=path,
        name=str(content.get("name") or path.stem),
        description=str(content.get("description") or "").strip(),
        program=str(content.get("program") or ""),
        method=method,
        metric=_metric(path, content.get("metric")),
        command=tuple(str(word) for word in command),
        parameters={str(key): _values(path, str(key), spec) for key, spec in parameters.items()}
        if method == "grid"
        else {},
    )


def expand_command(sweep: Sweep, values: Mapping[str, Any], interpreter: str) -> list[str]:
    """The words of one trial's command as W&B's agent builds them: alphabetical order, Python's `str` of each value.

    Raises:
        UserError: a macro is unknown or not a word of its own (W&B would drop it or pass it on unexpanded).
    """
    macros = _macros(values) | {"env": ["/usr/bin/env"], "interpreter": [interpreter], "program": [sweep.program]}
    words: list[str] = []
    for raw in sweep.command:
        word = re.sub(r"\$\{envvar:([A-Z0-9_]*)\}", lambda match: os.environ.get(match[1], match[1]), raw)
        if "${" not in word:
            words.append(word)
        elif word[2:-1] in macros and word.startswith("${") and word.endswith("}"):
            words += macros[word[2:-1]]
        else:
            known = ", ".join(f"${{{name}}}" for name in macros)
            raise UserError(
                f"{sweep.path}: '{raw}' in `command` is no macro that is known here; as words of their own: {known}."
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
        "args_no_hyphens": plain,
        "args_no_boolean_flags": no_booleans,
        "args_json": [json.dumps(ordered)],
    }


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: cannot read this sweep file ({error}); name an existing file such as sweeps/quickstart.yaml."
        ) from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a sweep; it must be a mapping with `method`, `parameters` and `command`.")
    return content


def _refuse_unknown(path: Path, content: Mapping[Any, Any], known: Iterable[str], what: str) -> None:
    for key in content:
        if key in LATER_KEYS and what == "sweep key":
            raise UserError(f"{path}: `{key}` is not supported yet; remove it.")
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=2)
            hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}."
            raise UserError(f"{path}: unknown {what} `{key}`; {hint}")


def _metric(path: Path, spec: Any) -> Metric | None:
    if spec is None:
        return None
    if not isinstance(spec, dict) or "name" not in spec:
        raise UserError(
            f"{path}: `metric` needs a `name` and a `goal`, such as `metric: {{name: val/map, goal: maximize}}`."
        )
    _refuse_unknown(path, spec, ("name", "goal"), "metric key")
    goal = spec.get("goal", "minimize")  # W&B's own default
    if goal not in ("maximize", "minimize"):
        raise UserError(f"{path}: the metric's `goal` is {goal!r}; write maximize or minimize.")
    return Metric(str(spec["name"]), goal)


def _values(path: Path, key: str, spec: Any) -> list[Any]:
    if not isinstance(spec, dict):
        raise UserError(
            f"{path}: parameter `{key}` is {spec!r}; write `{key}: {{values: [...]}}` or `{key}: {{value: ...}}`."
        )
    search = [word for word in SEARCH_KEYS if word in spec]
    if search:
        raise UserError(
            f"{path}: parameter `{key}` has `{search[0]}`, which a grid cannot enumerate; list its `values` instead."
        )
    _refuse_unknown(path, spec, PARAMETER_KEYS, f"key of parameter `{key}`:")
    if len(spec) != 1:
        raise UserError(
            f"{path}: parameter `{key}` needs exactly one of {', '.join(PARAMETER_KEYS)}; it has {len(spec)}."
        )
    if "parameters" in spec:
        return _nested_values(path, key, spec["parameters"])
    values = spec["values"] if "values" in spec else [spec["value"]]
    if not isinstance(values, list) or not values:
        raise UserError(
            f"{path}: `values` of parameter `{key}` must be a list with at least one value, not {values!r}."
        )
    for value in values:
        _refuse_misread(path, key, value)
    repeated = [value for i, value in enumerate(values) if canonical(value) in map(canonical, values[:i])]
    if repeated:
        raise UserError(
            f"{path}: parameter `{key}` lists {repeated[0]!r} twice, so two arms would be the same; remove one."
        )
    return values


def _nested_values(path: Path, key: str, block: Any) -> list[Any]:
    if not isinstance(block, dict) or not block:
        raise UserError(f"{path}: `parameters` of `{key}` must be a mapping with at least one parameter.")
    children = {str(name): _values(path, f"{key}.{name}", spec) for name, spec in block.items()}
    return [dict(zip(children, chosen, strict=True)) for chosen in itertools.product(*children.values())]


def _refuse_misread(path: Path, key: str, value: Any) -> None:
    """W&B passes `str(value)`: null becomes the word None, and YAML has already read 1e-4 as a text."""
    if isinstance(value, list):
        for item in value:
            _refuse_misread(path, key, item)
    if value is None:
        raise UserError(
            f'{path}: parameter `{key}` has the value null, which W&B passes as the word None; write "null" in quotes.'
        )
    if isinstance(value, str) and SCIENTIFIC.fullmatch(value):
        raise UserError(
            f"{path}: parameter `{key}` has {value}, which YAML reads as a text; write {_yaml_float(value)}."
        )


def _yaml_float(text: str) -> str:
    """`1e-4` as YAML 1.1 wants it: with a point in the mantissa and a sign in the exponent, `1.0e-4`."""
    mantissa, exponent = text.lower().split("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent if exponent[0] in '+-' else '+' + exponent}"

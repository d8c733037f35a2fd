"""Reads the ``parameters`` of a W&B sweep: nested blocks become one distribution per parameter."""

import difflib
import itertools
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lit_cv.ablation.sweep.distributions import MOST_VALUES, Distribution, Levels, make_distribution
from lit_cv.ablation.sweep.labels import is_object
from lit_cv.errors import UserError
from lit_cv.runs.settings import canonical, dotted, flatten

GRID_KEYS = ("value", "values", "parameters")
PARAMETER_KEYS = (*GRID_KEYS, "distribution", "probabilities", "min", "max", "mu", "sigma", "q", "a", "b")
SCIENTIFIC = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")

Space = dict[tuple[str, ...], Distribution]  # maps the path of a parameter through nested blocks to its distribution


def read_parameters(path: Path, block: Any, parents: tuple[str, ...] = ()) -> Space:
    """Read a ``parameters`` block of a sweep file.

    Args:
        path: Sweep file, for messages.
        block: Maps names to specifications.
        parents: Names of the blocks that contain this block.

    Raises:
        UserError: The block is empty, or a specification is not valid for W&B or would be misread on the command line.
    """
    if not isinstance(block, dict) or not block:
        what = f"`parameters` of `{'.'.join(parents)}`" if parents else "`parameters`"
        raise UserError(f"{path}: {what} is missing or empty; name at least one parameter with `values`.")
    space: Space = {}
    for name, spec in block.items():
        place = (*parents, str(name))
        key = ".".join(place)
        if not isinstance(spec, dict):
            raise UserError(
                f"{path}: parameter `{key}` is {spec!r}; write `{key}: {{values: [...]}}` or `{key}: {{value: ...}}`."
            )
        refuse_unknown(path, spec, PARAMETER_KEYS, f"key of parameter `{key}`:")
        if sum(word in spec for word in GRID_KEYS) > 1 or ("parameters" in spec and len(spec) > 1):
            raise UserError(f"{path}: parameter `{key}` needs exactly one of {', '.join(GRID_KEYS)}.")
        if "parameters" in spec:
            space |= read_parameters(path, spec["parameters"], place)
        else:
            space[place] = _distribution(path, key, spec)
    return space


def nest(values: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """Return the values as W&B passes them: a nested block is one mapping."""
    nested: dict[str, Any] = {}
    for (*parents, name), value in values.items():
        block = nested
        for parent in parents:
            block = block.setdefault(parent, {})
        block[name] = value
    return nested


def settings_of(values: Mapping[str, Any], places: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    """Return the dotted settings of a trial, one per parameter; a mapping without a class is several settings.

    Args:
        values: Values by top-level name, as ``nest`` returns them.
        places: Paths of the parameters through nested blocks.
    """
    settings: dict[str, Any] = {}
    for place in places:
        value: Any = values
        for name in place:
            value = value[name]
        key = dotted(".".join(place))
        settings |= flatten({key: value}) if isinstance(value, Mapping) and not is_object(value) else {key: value}
    return settings


def grid_values(path: Path, space: Space) -> dict[str, list[Any]]:
    """Return every value of each top-level parameter of a grid, in the order of the file.

    Raises:
        UserError: A parameter has a distribution that a W&B grid cannot enumerate.
    """
    levels = {place: _enumerate(path, place, distribution) for place, distribution in space.items()}
    if (runs := math.prod(map(len, levels.values()))) > MOST_VALUES:
        raise UserError(f"{path}: its grid has {runs:,} runs, more than {MOST_VALUES:,}; list fewer `values`.")
    blocks: dict[str, list[tuple[str, ...]]] = {}
    for place in space:
        blocks.setdefault(place[0], []).append(place)
    return {
        name: [
            nest(dict(zip(places, chosen, strict=True)))[name]
            for chosen in itertools.product(*(levels[place] for place in places))
        ]
        for name, places in blocks.items()
    }


def _enumerate(path: Path, place: tuple[str, ...], distribution: Distribution) -> list[Any]:
    key = ".".join(place)
    if isinstance(distribution, Levels) and len(distribution.values) > MOST_VALUES:
        raise UserError(f"{path}: parameter `{key}` has more than {MOST_VALUES:,} values; list fewer for a grid.")
    if isinstance(distribution, Levels) and distribution.probabilities is None:
        return list(distribution.values)
    if isinstance(distribution, Levels):
        raise UserError(f"{path}: parameter `{key}` has `probabilities`, which a grid does not use; remove them.")
    if distribution.grid is not None:
        return distribution.grid
    raise UserError(
        f"{path}: parameter `{key}` has a distribution that a grid cannot enumerate; list its `values` instead."
    )


def _distribution(path: Path, key: str, spec: Mapping[str, Any]) -> Distribution:
    for value in spec.values():
        _refuse_misread(path, key, value)
    try:
        distribution = make_distribution(spec)
    except ValueError as error:
        raise UserError(f"{path}: parameter `{key}` {error}.") from None
    seen = set[str]()
    for value in spec.get("values", []):
        if canonical(value) in seen:
            raise UserError(
                f"{path}: parameter `{key}` lists {value!r} twice, so two arms would be the same; remove one."
            )
        seen.add(canonical(value))
    return distribution


def refuse_unknown(path: Path, content: Mapping[Any, Any], known: Iterable[str], what: str) -> None:
    """Refuse unknown keys.

    Raises:
        UserError: A key is unknown; the message names similar known keys.
    """
    known = tuple(known)
    for key in content:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=2)
            hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}."
            raise UserError(f"{path}: unknown {what} `{key}`; {hint}")


def _refuse_misread(path: Path, key: str, value: Any) -> None:
    """Refuse null and numbers such as 1e-4: W&B passes null as the word None, and YAML reads 1e-4 as text."""
    if isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            _refuse_misread(path, key, item)
    if value is None:
        raise UserError(
            f'{path}: parameter `{key}` has the value null, which W&B passes as the word None; write "null" in quotes.'
        )
    if isinstance(value, str) and SCIENTIFIC.fullmatch(value):
        raise UserError(f"{path}: parameter `{key}` has {value}, which YAML reads as text; write {_yaml_float(value)}.")


def _yaml_float(text: str) -> str:
    """Return ``1e-4`` as ``1.0e-4``: YAML 1.1 needs a decimal point and a sign of the exponent."""
    mantissa, exponent = text.lower().split("e")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent if exponent[0] in '+-' else '+' + exponent}"

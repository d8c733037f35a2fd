"""The structure of a run's network, and the record of the times that were measured alone. Imports nothing heavy."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lit_cv.errors import UserError
from lit_cv.runs.files import read_json
from lit_cv.runs.settings import canonical

NETWORK = "model.network."
NO_STRUCTURE = ("model.network.weights", "model.network.trainable_layers")  # they do not change the work of `predict`
COMPILE = "model.compile"
COST_FILE = "cost.json"  # in the folder of a group


def structure(config: Mapping[str, Any], result: Mapping[str, Any]) -> str | None:
    """Return a text that runs share if their networks do the same work for an image; None if no setting tells it.

    Seed, data, loss weights and optimizer do not count.

    Args:
        config: Resolved settings of the run, with dotted keys.
        result: Content of its `result.json`.
    """
    settings = {key: value for key, value in config.items() if key.startswith(NETWORK) and key not in NO_STRUCTURE}
    if settings and config.get(COMPILE):
        settings[COMPILE] = config[COMPILE]
    return canonical([settings, result.get("params"), config.get("trainer.precision")]) if settings else None


def unmeasured(group: Path) -> list[Path]:
    """Return the finished runs of a group that its `cost.json` does not name."""
    file = group / COST_FILE
    known = {name for entry in entries(read_json(file), file) for name in entry["runs"]} if file.exists() else set()
    return [place.parent for place in sorted(group.glob("*/result.json")) if place.parent.name not in known]


def entries(content: Mapping[str, Any], file: Path) -> Sequence[Mapping[str, Any]]:
    """Return the structures in the content of a `cost.json`.

    Raises:
        UserError: The content has another form.
    """
    found = content.get("structures")
    times = ("min", "upper")
    valid = isinstance(found, list) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("runs"), list)
        and isinstance(entry.get("ms"), dict)
        and all(isinstance(entry["ms"].get(name), int | float) for name in times)
        for entry in found
    )
    if not valid or not isinstance(content.get("hardware"), dict):
        raise UserError(f"{file}: is no record of measured times; delete it and measure again (`report --measure`).")
    return found  # type: ignore[return-value]

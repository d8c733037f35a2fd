"""The existing path that a misspelled one means. Imports nothing heavy."""

import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

ROOTS = (Path(), Path("runs"), Path("experiments"), Path("sweeps"))  # a first folder may have been left out


def near_path(path: Path) -> Path | None:
    """Return the existing path whose parts are nearest to those of a missing one.

    None if a part has none near, or if the path is not missing.

    Example:
        >>> near_path(Path("rns/quikstart"))  # doctest: +SKIP
        PosixPath('runs/quickstart')
    """
    if path.exists():
        return None
    roots = [Path(path.anchor)] if path.is_absolute() else ROOTS
    found = (_below(root, path.parts[len(Path(path.anchor).parts) :]) for root in roots)
    return next((near for near in found if near is not None), None)


def did_you_mean_path(path: Path) -> str:
    """Return "; did you mean PATH?" for a missing path; empty if none is near."""
    near = near_path(path)
    return f"; did you mean {near}?" if near else ""


def near_run(folder: Path) -> Path | None:
    """Return the run's folder that a path means which is none: a near one, or the first of the group it names."""
    group = folder if folder.is_dir() else near_path(folder) or near_path(folder.parent) or folder.parent
    if (group / "config.yaml").is_file():
        return group
    runs = {file.parent.name: file.parent for file in sorted(group.glob("*/config.yaml"))}
    near = get_close_matches(folder.name, runs, n=1) or list(runs)[:1]
    return runs[near[0]] if near else None


def _below(place: Path, parts: Iterable[str]) -> Path | None:
    for part in parts:
        if part in ("..", ".") or (place / part).exists():
            place /= part
            continue
        names = os.listdir(place) if os.access(place, os.R_OK) and place.is_dir() else []
        near = get_close_matches(part, names, n=1, cutoff=0.7)
        if not near:
            return None
        place /= near[0]
    return place

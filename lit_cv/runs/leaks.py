"""The record of images that are in two splits, one for each fingerprint of data below the root of the runs."""

from pathlib import Path

FOLDER = ".leaks"
MOST_NAMED = 3  # leaks of a record that are named


def leak_file(group: Path, fingerprint: str) -> Path:
    """Return the file of the record about the data of a group's runs."""
    return group.parent / FOLDER / f"{fingerprint}.json"

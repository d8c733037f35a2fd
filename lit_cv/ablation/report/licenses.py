"""The license that a data set states in its own files."""

import json
import re
from pathlib import Path
from typing import Any

NAMES = re.compile(r"(licen[cs]e|copying)\b.*", re.IGNORECASE)
READMES = re.compile(r"(readme.*|data\.ya?ml)", re.IGNORECASE)
LINE = re.compile(r"^\W*licen[cs]e\W*:\W*(.+?)\W*$", re.IGNORECASE | re.MULTILINE)
HEAD = 1 << 20  # bytes of a file that are read: COCO's files of annotations begin with their licenses
PLACES = ("*", "annotations/*.json", "*/*.json")


def stated_licenses(root: Path) -> list[str]:
    """Return what the files of a data set say about its license, each with its file; empty if none says anything.

    Looks at files named like ``LICENSE``, at lines ``License: ...`` of a README or ``data.yaml``, and at ``licenses``
    within the first mebibyte of COCO's files of annotations.

    Args:
        root: Folder of the data.
    """
    files = dict.fromkeys(file for place in PLACES for file in sorted(root.glob(place)) if file.is_file())
    return [f"{text} ({file.relative_to(root)})" for file in files if (text := _stated(file))]


def _stated(file: Path) -> str:
    if not (NAMES.fullmatch(file.name) or READMES.fullmatch(file.name) or file.suffix == ".json"):
        return ""
    try:
        with file.open("rb") as opened:
            text = opened.read(HEAD).decode("utf-8", errors="replace")
    except OSError:
        return ""
    if file.suffix == ".json":
        return _of_coco(text)
    if NAMES.fullmatch(file.name):
        return next((line.strip() for line in text.splitlines() if line.strip()), "")
    found = LINE.search(text)
    return found[1] if found else ""


def _of_coco(text: str) -> str:
    found = re.search(r'"licenses"\s*:\s*', text)
    if not found:
        return ""
    try:
        entries: Any = json.JSONDecoder().raw_decode(text, found.end())[0]
    except ValueError:  # cut off, or damaged
        return ""
    named = [entry.get("name") or entry.get("url") for entry in entries if isinstance(entry, dict)]
    return ", ".join(dict.fromkeys(str(name) for name in named if name))

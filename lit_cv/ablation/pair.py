"""The differences between two runs: settings, data, code, versions, hardware, training and metrics."""

import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from lit_cv.ablation.results.study import Run
from lit_cv.ablation.sweep.labels import duration, show
from lit_cv.errors import UserError
from lit_cv.runs.files import read_yaml
from lit_cv.runs.folder import require_run
from lit_cv.runs.records import BEGUN, RESULT, read_record
from lit_cv.runs.settings import canonical, distinct, flatten

UNSET = "–"
LISTED = 20  # files of `git diff --stat`
TRAINING = ("status", "steps", "epochs", "stopped_by", "started_from")
MISSING = object()


class Entry(NamedTuple):
    """Something in which two runs differ: its name, both values, and their difference if they are numbers."""

    name: str
    first: str
    second: str
    change: str = ""


@dataclass(frozen=True)
class Section:
    """One kind of differences.

    Attributes:
        title: Name of the kind.
        summary: What is equal, or how much differs.
        entries: The differences.
        lines: More text, as it is.
        equal: Whether the runs agree in this.
    """

    title: str
    summary: str
    entries: list[Entry] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    equal: bool = True


def load(folder: Path) -> Run:
    """Read a run, which need not have finished.

    Raises:
        UserError: The folder is none of a run, or a record is missing or damaged.
    """
    require_run(folder)
    read_yaml(folder / "config.yaml")
    if (folder / "result.json").exists():
        record = read_record(folder / "result.json", RESULT)
    elif (folder / "run.json").exists():
        record = read_record(folder / "run.json", BEGUN)
    else:
        raise UserError(f"{folder}: has neither result.json nor run.json, so nothing is known of it; run it first.")
    return Run(folder, record, record.get("seed"))


def compare(first: Run, second: Run) -> list[Section]:
    """Return the differences between two runs, one section for each kind."""
    return [
        _settings(first, second),
        _data(first, second),
        _code(first, second),
        _mapping("versions", first, second),
        _mapping("hardware", first, second),
        _training(first, second),
        _metrics(first, second),
    ]


def _settings(first: Run, second: Run) -> Section:
    found = _differences(first.config, second.config)
    count = len(distinct([*first.config, *second.config]))
    return _section("settings", found, f"all {count} equal", f"{len(found)} of {count} differ")


def _data(first: Run, second: Run) -> Section:
    one, two = (flatten(run.result.get("data") or {}) for run in (first, second))
    found = [entry._replace(name=entry.name.removeprefix("counts.")) for entry in _differences(one, two)]
    return _section("data", found, f"equal (fingerprint {one.get('fingerprint', 'unknown')})")


def _mapping(name: str, first: Run, second: Run) -> Section:
    return _section(name, _differences(first.result.get(name) or {}, second.result.get(name) or {}), "equal")


def _training(first: Run, second: Run) -> Section:
    one, two = ({name: run.result.get(name) for name in TRAINING} for run in (first, second))
    found = _differences(one, two)
    section = _section("training", found, "equal" if one["steps"] is None else f"equal ({one['steps']} steps)")
    first_time, second_time = (run.result.get("fit_seconds") for run in (first, second))
    if first_time is not None and second_time is not None:
        section.entries.append(Entry("time", duration(first_time), duration(second_time)))
    return section


def _metrics(first: Run, second: Run) -> Section:
    known = [run.result.get("metrics") for run in (first, second)]
    if None in known:
        waiting = " and ".join(name for name, metrics in zip("AB", known, strict=True) if metrics is None)
        return Section("metrics", f"{waiting} has no result yet", equal=known == [None, None])
    one, two = known[0] or {}, known[1] or {}
    names = distinct([*one, *two])
    found = [_metric(name, one.get(name, MISSING), two.get(name, MISSING)) for name in names]
    differ = [entry for entry in found if entry is not None]
    return _section(
        "metrics", differ, f"all {len(names)} equal to the last bit", f"{len(differ)} of {len(names)} differ"
    )


def _metric(name: str, first: Any, second: Any) -> Entry | None:
    if first is second or first == second:
        return None
    numbers = [value for value in (first, second) if value is not None and value is not MISSING]
    change = f"{second - first:+.4g}" if len(numbers) == 2 else ""
    return Entry(name, _number(first), _number(second), change)


def _number(value: Any) -> str:
    return UNSET if value is MISSING else "not finite" if value is None else f"{value:.6g}"


def _code(first: Run, second: Run) -> Section:
    states = [run.result.get("git") or {} for run in (first, second)]
    found = _differences(*states)
    commits = [state.get("commit") for state in states]
    unclean = [name for name, state in zip("AB", states, strict=True) if state.get("dirty")]
    notes = [f"Uncommitted changes of {' and '.join(unclean)} are not recorded."] if unclean else []
    if None in commits:
        notes.append("Without a commit, nothing is known of the code.")
    elif commits[0] != commits[1]:
        notes += _changed_files(*map(str, commits))
    same = commits[0] is not None and not found and not unclean
    return Section("code", "" if found else f"the same commit ({commits[0] or 'unknown'})", found, notes, same)


def _changed_files(first: str, second: str) -> list[str]:
    """Return `git diff --stat` of two commits, or why there is none."""
    missing = [commit for commit in (first, second) if _git("cat-file", "-e", f"{commit}^{{commit}}") is None]
    if missing:
        return [f"The changed files are not listed: no commit {' or '.join(missing)} in the repository here."]
    text = _git("diff", "--stat=78", f"--stat-count={LISTED}", first, second) or "No file differs between the commits."
    return [line.strip() for line in text.splitlines()]


def _git(*words: str) -> str | None:
    """Return the output of git, None if it fails."""
    try:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None


def _differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Entry]:
    keys: Iterable[str] = distinct([*first, *second])
    pairs = [(key, first.get(key, MISSING), second.get(key, MISSING)) for key in keys]
    return [
        Entry(key, *_texts(one, two))
        for key, one, two in pairs
        if one is MISSING or two is MISSING or canonical(one) != canonical(two)
    ]


def _texts(first: Any, second: Any) -> list[str]:
    """Return two different values as different texts."""
    for form in (show, canonical):
        texts = [UNSET if value is MISSING else form(value) for value in (first, second)]
        if texts[0] != texts[1]:
            break
    return texts


def _section(title: str, entries: list[Entry], equal: str, differ: str = "") -> Section:
    return Section(title, differ if entries else equal, entries, equal=not entries)

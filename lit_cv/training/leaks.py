"""Look once for images that are in two splits of the data of some runs, for their report."""

from collections.abc import Sequence
from pathlib import Path

from datamodules.base import DataModule
from datamodules.doctor import find_leaks
from lit_cv.errors import UserError
from lit_cv.runs.files import write_json
from lit_cv.runs.leaks import MOST_NAMED, leak_file
from lit_cv.runs.records import RESULT, read_record
from lit_cv.training.experiment import data_fingerprint, parsed
from lit_cv.training.from_data import data_module

SECONDS = 60.0  # for each data set; a longer search is left to `litcv doctor`


def check_leaks(groups: Sequence[Path], seconds: float = SECONDS) -> None:
    """Search the data of the finished runs of some groups, each data set once, and write the record of the report.

    Data that has changed since, or is not on this machine, is left out; so is data without a ``DataModule`` of ours.
    """
    for group in groups:
        for fingerprint, args in _data_of(group).items():
            if leak_file(group, fingerprint).exists():
                continue
            try:
                _check(group, fingerprint, args, seconds)
            except UserError as error:
                print(f"images in two splits: not looked for ({error})", flush=True)


def _data_of(group: Path) -> dict[str, list[str]]:
    """Map each fingerprint of the data of a group's finished runs to the arguments of a run."""
    results = [(file.parent, read_record(file, RESULT)) for file in sorted(group.glob("*/result.json"))]
    return {result["data"]["fingerprint"]: ["fit", "--config", str(run / "config.yaml")] for run, result in results}


def _check(group: Path, fingerprint: str, args: list[str], seconds: float) -> None:
    data = data_module(parsed(args).fit)
    if not isinstance(data, DataModule) or data_fingerprint(args, generate=False) != fingerprint:
        return
    found = find_leaks(data, seconds)
    record: dict[str, object] = {"fingerprint": fingerprint, "seconds": seconds, "finished": found is not None}
    if found is not None:
        images, leaks = found
        examples = [f"{leak.file} {leak.what}" for leak in leaks[:MOST_NAMED]]
        record |= {"images": images, "leaks": len(leaks), "examples": examples}
    file = leak_file(group, fingerprint)
    file.parent.mkdir(exist_ok=True)
    write_json(file, record)

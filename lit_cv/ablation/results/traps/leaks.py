"""Finds images that are in training and in validation, as looked for once for each data set after its runs."""

from typing import Any

from lit_cv.ablation.results.study import Study
from lit_cv.runs.leaks import leak_file
from lit_cv.runs.records import LEAKS, read_record


def find(study: Study) -> list[str]:
    """Return a sentence for each data set with leaks."""
    return [
        f"{record['leaks']} images of the data {data[:7]} are in two splits ({record['examples'][0]}): the numbers are "
        "too good; take the images out of one split and train again. litcv doctor lists all of them."
        for data, record in _records(study).items()
        if record.get("leaks")
    ]


def about_leaks(study: Study) -> list[str]:
    """Return whether images in two splits were looked for, for data without such images."""
    records, texts = _records(study), list[str]()
    for data in sorted({str(run.result["data"]["fingerprint"]) for _, run in study.runs}):
        record = records.get(data)
        if record is None:
            texts.append(f"Images in two splits: not looked for in the data {data[:7]}; litcv doctor does.")
        elif not record["finished"]:
            texts.append(
                f"Images in two splits: the search in the data {data[:7]} was not finished within "
                f"{record['seconds']:.0f} s; litcv doctor has no limit."
            )
        elif not record["leaks"]:
            count = sum(record["images"].values())
            texts.append(f"Images in two splits: none among the {count:,} images of the data {data[:7]}.")
    return texts


def _records(study: Study) -> dict[str, dict[str, Any]]:
    found = {}
    for _, run in study.runs:
        data = str(run.result["data"]["fingerprint"])
        file = leak_file(run.folder.parent, data)
        if data not in found and file.exists():
            found[data] = read_record(file, LEAKS)
    return found

"""Looks for the files that the runs of a sweep need, before the first of them starts."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lit_cv.ablation.sweep.jobs import Job
from lit_cv.errors import UserError
from lit_cv.runs.backbone_weights import backbone_beside, backbone_file
from lit_cv.runs.initial_weights import weights_file

GENERATED = ("shapes", "download")  # values of `data.source` with which a run makes or fetches missing files
OWN = "datamodules."  # only these DataModules are known to need an existing root
FILES = (".pth", ".pt", ".pkl", ".bin", ".ckpt", ".safetensors")


def missing_inputs(jobs: Sequence[Job]) -> list[str]:
    """Return one sentence for each folder of data or file of weights that runs name and that does not exist.

    Nothing is imported for this, so weights that a run would download are not examined.
    """
    found: dict[str, list[Job]] = {}
    for job in jobs:
        for text in _missing(job.settings):
            found.setdefault(text, []).append(job)
    return [
        f"{text} ({len(needing)} of {len(jobs)} runs need it, first {needing[0].label or needing[0].folder.name})"
        for text, needing in found.items()
    ]


def refuse_missing(jobs: Sequence[Job]) -> None:
    """Refuse runs whose data or weights do not exist.

    Raises:
        UserError: Something is missing.
    """
    if missing := missing_inputs(jobs):
        raise UserError(f"{'; '.join(missing)}; no run was started.")


def _missing(settings: Mapping[str, Any]) -> Iterator[str]:
    root, kind = settings.get("data.root"), str(settings.get("data.class_path") or settings.get("data") or "")
    local = settings.get("data.source", "local") not in GENERATED and (kind.startswith(OWN) or "." not in kind)
    if isinstance(root, str) and local and not Path(root).exists():
        yield f"data.root: there is no folder {root}; give the folder of the data, or set data.source"
    for key, value in settings.items():
        if key.split(".")[-1] in ("weights", "ckpt_path") and isinstance(value, str) and _is_path(value):
            try:
                file = backbone_file(value, backbone_beside(key, settings))
            except UserError as error:
                yield str(error).rstrip(".")
                continue
            if not file.is_file():
                yield f"{key}: there is no file {file}; give an existing file"
        if key.split(".")[-1] == "initial_weights" and isinstance(value, str):
            try:
                weights_file(value)
            except UserError as error:
                yield str(error).rstrip(".")


def _is_path(text: str) -> bool:
    return "://" not in text and ("/" in text or text.endswith(FILES))

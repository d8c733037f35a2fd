"""The analysis of each task."""

from collections.abc import Callable, Sequence
from importlib import import_module

from lit_cv.analysis.contract import Analysis, Evaluated
from lit_cv.errors import UserError

MODULES = {
    "DetectionTask": "lit_cv.analysis.detection.analysis",
    "InstanceTask": "lit_cv.analysis.detection.analysis",
    "SegmentationTask": "lit_cv.analysis.segmentation",
    "PoseTask": "lit_cv.analysis.pose",
    "LocalizationTask": "lit_cv.analysis.localization",
    "CaptioningTask": "lit_cv.analysis.captions",
}
"""Module with ``analyze`` by the name of the task's class; derived classes have that of their base."""


def analysis_of(tasks: Sequence[str], place: object) -> Callable[[Evaluated], Analysis]:
    """Return the analysis of a task.

    Args:
        tasks: Names of the task's class and of its bases, as predictions have them.
        place: Named in the error.

    Raises:
        UserError: There is none.
    """
    for name in tasks:
        if name in MODULES:
            analyze: Callable[[Evaluated], Analysis] = import_module(MODULES[name]).analyze
            return analyze
    what = tasks[0] if tasks else "no task"
    raise UserError(f"{place}: is of {what}, which has no analysis; there are those of {', '.join(MODULES)}.")

"""The parts of an evaluation that a task's metrics keep for the value of one metric on resampled images."""

from collections.abc import Mapping, Sequence
from functools import singledispatch
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lit_cv.errors import UserError
from lit_cv.metrics import COCOAveragePrecision
from lit_cv.metrics.densecap import PREFIXES as MEASURES
from lit_cv.metrics.resampling.captions import caption_matches
from lit_cv.metrics.resampling.coco import coco_rankings
from lit_cv.metrics.resampling.ranked import Rankings
from lit_cv.metrics.resampling.resample import Matches
from lit_cv.metrics.resampling.sums import boundary_sums, keypoint_sums, localization_sums, segmentation_sums
from lit_cv.metrics.resampling.voc import voc_rankings
from lit_cv.tasks.base import Task
from lit_cv.tasks.captioning import CaptioningTask
from lit_cv.tasks.detection import DetectionTask
from lit_cv.tasks.instances import PREFIXES, InstanceTask
from lit_cv.tasks.localization import LocalizationTask
from lit_cv.tasks.pose import PoseTask
from lit_cv.tasks.segmentation import SegmentationTask

States = Mapping[str, NDArray[Any]]


@singledispatch
def image_states(task: Task) -> dict[str, NDArray[Any]]:
    """Return the sums of a task's metrics after one image, and reset them; empty where metrics keep all images."""
    return {}


@singledispatch
def matches(task: Task, name: str, states: States) -> Matches:
    """Reduce an evaluation to what one metric needs.

    Args:
        task: A task whose metrics have seen all images.
        name: A number that it logs, without ``val/``.
        states: ``image_states`` of all images, stacked in the order of their ids.

    Raises:
        UserError: The number does not follow from predictions, or there is no rule to resample it.
    """
    raise _unknown(task, name)


def _unknown(task: Task, name: str) -> UserError:
    return UserError(f"{type(task).__name__} has no rule for {name} on resampled images.")


def _labels(task: Task, name: str) -> tuple[str, list[int]]:
    """Return a name without its class, and the labels that it is of: of all classes for a mean."""
    kind, slash, label = name.partition("/")
    names = list(task.class_names)
    if slash and label not in names:
        raise _unknown(task, name)
    return kind, [1 + names.index(label)] if slash else list(range(1, len(names) + 1))


@matches.register
def _(task: DetectionTask, name: str, states: States) -> Rankings:
    kind, labels = _labels(task, name)
    if kind in ("voc_map", "voc_map_11point", "voc_ap"):
        return voc_rankings(task.voc.evaluation(), labels, eleven_points=kind == "voc_map_11point")
    if kind != "ap" and kind not in COCOAveragePrecision.FACTS["bbox"]:
        raise _unknown(task, name)
    return coco_rankings(task.coco.evaluation(), "map" if kind == "ap" else kind, labels, "bbox")


@matches.register
def _(task: InstanceTask, name: str, states: States) -> Rankings:
    kind, labels = _labels(task, name)
    for shape in task.kinds:
        metric, own = cast(COCOAveragePrecision, task.metrics[shape]), kind.removeprefix(PREFIXES[shape])
        if kind.startswith(PREFIXES[shape]) and (own == "ap" or own in metric.FACTS[shape]):
            return coco_rankings(metric.evaluation(), "map" if own == "ap" else own, labels, shape, metric.sigmas)
    raise _unknown(task, name)


@image_states.register
def _(task: SegmentationTask) -> dict[str, NDArray[Any]]:
    confusion = task.masks.confusion.cpu().numpy().copy()
    counts = task.boundary.counts.cpu().numpy().copy()
    task.masks.reset()
    task.boundary.reset()
    return {"confusion": confusion, "boundary": counts}


@matches.register
def _(task: SegmentationTask, name: str, states: States) -> Matches:
    if name in task.boundary.FACTS:
        return boundary_sums(states["boundary"])
    kind, _, label = name.partition("/")
    names = ["background", *task.class_names]
    if kind not in (*task.masks.FACTS, "iou") or (kind == "iou" and label not in names):
        raise _unknown(task, name)
    return segmentation_sums(states["confusion"], kind, names.index(label) if label else None)


@image_states.register
def _(task: PoseTask) -> dict[str, NDArray[Any]]:
    states: dict[str, NDArray[Any]] = {}
    for metric in (task.pckh, task.pck):
        shares = [f"{metric.prefix}_{round(100 * threshold)}" for threshold in metric.thresholds]
        states |= dict(zip(shares, metric.correct.numpy(), strict=True))
        states[metric.prefix] = metric.labeled.numpy()
        metric.reset()
    return states


@matches.register
def _(task: PoseTask, name: str, states: States) -> Matches:
    kind, _, joint = name.partition("/")
    kind = "pckh_50" if kind == "pckh" else kind
    metric, names = (task.pck if kind.startswith("pck_") else task.pckh), list(task.class_names)
    if kind not in states or kind == metric.prefix or (joint and joint not in names):
        raise _unknown(task, name)
    left_out = [] if joint else list(metric.left_out)
    joints = [names.index(joint)] if joint else [k for k in range(len(names)) if k not in left_out]
    return keypoint_sums(states[kind][:, joints], states[metric.prefix][:, joints])


@image_states.register
def _(task: LocalizationTask) -> dict[str, NDArray[Any]]:
    sums = task.accuracy.sums.cpu().numpy().copy()
    task.accuracy.reset()
    return {"sums": sums}


@matches.register
def _(task: LocalizationTask, name: str, states: States) -> Matches:
    if name not in task.METRICS:
        raise _unknown(task, name)
    return localization_sums(states["sums"], name)


@matches.register
def _(task: CaptioningTask, name: str, states: States) -> Matches:
    own = name.removeprefix(MEASURES[task.meteor])
    if name not in task.facts(()) or own == "language_meteor":
        raise _unknown(task, name)
    judged = sorted(task.average_precision.judge(), key=lambda image: image.image_id)
    return caption_matches(judged, own)


def stacked(states: Sequence[States], order: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Return the states of all images in an order of theirs."""
    names = states[0] if states else ()
    return {name: np.stack([states[place][name] for place in order.tolist()]) for name in names}

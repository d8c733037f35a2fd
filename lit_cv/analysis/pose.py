"""The analysis of poses: curves of correct joints, errors by joint and visibility, and joints of the wrong side."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lit_cv.analysis.contract import Analysis, Column, Evaluated, Figure, Number, Table, Value
from lit_cv.analysis.figures import bars, curves
from lit_cv.analysis.measures.joints import (
    HIDDEN,
    THRESHOLDS,
    VISIBLE,
    Curve,
    Poses,
    curve,
    median_error,
    read_poses,
    swapped,
)
from lit_cv.analysis.parts import extremes, facts, largest, percent
from lit_cv.contract import HasSkeleton, require

AT = {"head": 50, "torso": 20}  # percent of the size, as the task logs them
LABELS = {"head": "PCKh", "torso": "PCK"}
FLAGS = {VISIBLE: "visible", HIDDEN: "hidden"}
SOURCE = (
    "PCKh is the share of labeled joints within a share of the size of the head (Andriluka et al. 2014, section 4), "
    "PCK within a share of the torso (Toshev & Szegedy 2014, section 4.1)."
)


class _Found(NamedTuple):
    joints: list[str]
    poses: Poses
    size: str  # what errors are shares of
    whole: dict[str, Curve]  # by size
    parts: dict[int, dict[str, Curve]]  # by flag and size
    wrong: NDArray[np.int64]
    swapped: NDArray[np.int64]

    @property
    def at(self) -> str:
        return f"{LABELS[self.size]} at {AT[self.size] / 100:g}"

    def by_joint(self, flag: int | None = None) -> NDArray[np.float64]:
        own = self.whole if flag is None else self.parts[flag]
        shares: NDArray[np.float64] = own[self.size].joints[AT[self.size]]
        return shares


def analyze(run: Evaluated) -> Analysis:
    """Analyze the poses of a run."""
    found = _measured(run)
    errors = found.poses.mean_errors(found.size)
    return Analysis(
        title=f"Analysis of {run.name}",
        facts=facts(run),
        sentences=_sentences(found),
        numbers=_numbers(found),
        tables=[_by_joint(found), _by_visibility(found)],
        figures=_figures(found),
        images=largest(
            run, errors, lambda place: f"joints are {errors[place]:.2f} sizes of the {found.size} off on average"
        ),
        scores={
            image: value
            for image, value in zip(found.poses.image_ids.tolist(), errors.tolist(), strict=True)
            if np.isfinite(value)
        },
        score_words=f"mean error as a share of the {found.size}",
    )


def _measured(run: Evaluated) -> _Found:
    poses, joints = read_poses(run), list(run.predictions.class_names)
    skeleton = require(Analysis, run.data, HasSkeleton).skeleton
    left_out = {"head": skeleton.left_out, "torso": ()}  # as the task does
    whole = {size: curve(poses, size, left_out[size]) for size in AT}
    parts = {flag: {size: curve(poses, size, left_out[size], flag) for size in AT} for flag in FLAGS}
    size = "head" if np.isfinite(whole["head"].total).any() else "torso"
    return _Found(joints, poses, size, whole, parts, *swapped(poses, size, skeleton.pairs, AT[size] / 100))


def _sentences(found: _Found) -> list[str]:
    own, said = found.by_joint(), []
    if np.isfinite(own).any():
        said.append(f"{found.at} is {extremes(found.joints, own, 'joints')}.")
    shares = {FLAGS[flag]: curves[found.size].total[AT[found.size]] for flag, curves in found.parts.items()}
    if all(map(np.isfinite, shares.values())):
        said.append(f"{percent(shares['visible'])} of the visible joints and {percent(shares['hidden'])} of the "
                    f"hidden ones are correct ({found.at}).")  # fmt: skip
    else:
        missing = [name for name, share in shares.items() if not np.isfinite(share)]
        said.append(f"No joint is labeled as {' or '.join(missing)}.")
    if wrong := int(found.wrong.sum()):
        share = percent(found.swapped.sum() / wrong)
        said.append(f"{share} of the {wrong:,} wrong joints lie on the same joint of the person's other side.")
    return said


def _numbers(found: _Found) -> dict[str, Number]:
    numbers = {}
    for size, own in found.whole.items():
        label, at = LABELS[size], AT[size]
        key = f"{label.lower()}_{at}"
        numbers[key] = Number(float(own.total[at]), f"{label} at {at / 100:g}", "percent", True)
        numbers[f"{label.lower()}_area"] = Number(own.area, f"area under the {label} curve to 0.5", "percent", True)
        for flag, name in FLAGS.items():
            share = float(found.parts[flag][size].total[at])
            numbers[f"{key}_{name}"] = Number(share, f"{label} of {name} joints", "percent", True)
        for joint, share in zip(found.joints, own.joints[at].tolist(), strict=True):
            numbers[f"{key}/{joint}"] = Number(share, f"{label} of {joint}", "percent", True)
    numbers["wrong_joints"] = Number(float(found.wrong.sum()), "wrong joints", "count", False)
    numbers["swapped_joints"] = Number(float(found.swapped.sum()), "joints on the wrong side", "count", False)
    return numbers


def _by_joint(found: _Found) -> Table:
    shares = [found.whole[size].joints[at].tolist() for size, at in AT.items()]
    seen = [found.by_joint(flag).tolist() for flag in FLAGS]
    medians = median_error(found.poses, found.size).tolist()
    labeled = found.whole[found.size].labeled.tolist()
    swaps = (found.swapped / np.maximum(found.wrong, 1)).tolist()
    rows = list(zip(found.joints, labeled, *shares, *seen, medians, swaps, strict=True))
    columns = [Column("joint"), Column("labeled", "count"), Column("PCKh 0.5", "percent"), Column("PCK 0.2", "percent"),
               *(Column(f"{found.at}, {name}", "percent") for name in FLAGS.values()),
               Column(f"median error / {found.size}", "number"), Column("on the other side", "percent")]  # fmt: skip
    about = (
        f"Shares in percent. {SOURCE} On the other side: the share of the wrong joints that lie on the same joint of "
        "the other side, which Ronchi & Perona 2017 call inversions."
    )
    return Table("joints", "Joints", about, columns, rows)


def _by_visibility(found: _Found) -> Table:
    every = {"all": found.whole} | {name: found.parts[flag] for flag, name in FLAGS.items()}
    rows: list[list[Value]] = [
        [name, int(own[found.size].labeled.sum()), *(float(own[size].total[at]) for size, at in AT.items()),
         own[found.size].area]
        for name, own in every.items()
    ]  # fmt: skip
    columns = [Column("joints"), Column("labeled", "count"), Column("PCKh 0.5", "percent"),
               Column("PCK 0.2", "percent"), Column(f"area of {LABELS[found.size]} to 0.5", "percent")]  # fmt: skip
    return Table("visibility", "Visibility", f"In percent. {SOURCE}", columns, rows)


def _figures(found: _Found) -> list[Figure]:
    lines = {LABELS[size]: (np.array(THRESHOLDS), own.total) for size, own in found.whole.items()}
    parts = {name: found.parts[flag][found.size].total for flag, name in FLAGS.items()}
    if all(np.isfinite(total).any() for total in parts.values()):
        lines |= {f"{LABELS[found.size]}, {name}": (np.array(THRESHOLDS), total) for name, total in parts.items()}
    values = dict(zip(found.joints, found.by_joint().tolist(), strict=True))
    return [
        curves("pck", "Correct joints by threshold", SOURCE, ("share of the size", "share of the joints"), lines),
        bars("joints_bars", f"{found.at} by joint", SOURCE, "share of the labeled joints", values),
    ]

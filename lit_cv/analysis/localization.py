"""The analysis of classification and localization: class error against box error, confusions, and calibration."""

import numpy as np
from numpy.typing import NDArray

from lit_cv.analysis.contract import Analysis, Column, Evaluated, Figure, Number, Table, Value
from lit_cv.analysis.detection.confidence import BINS, Calibration
from lit_cv.analysis.figures import curves
from lit_cv.analysis.measures.cases import IOU, Cases, read_cases
from lit_cv.analysis.parts import confused, facts, largest, lowest, percent
from lit_cv.errors import UserError

FEWEST = 10  # images of a class from which a sentence names it
SOURCE = "A box is right if its IoU with the target is at least 0.5 (Russakovsky et al. 2015, section 4.2)."
CALIBRATION = (
    f"Probabilities in {BINS} bins of equal width; ECE is the mean over images of |accuracy - probability| of their "
    "bin (Guo et al. 2017, eq. 3)."
)


def analyze(run: Evaluated) -> Analysis:
    """Analyze the classes and boxes of a run.

    Raises:
        UserError: The predictions have no scores.
    """
    if "scores" not in run.predictions.columns:
        raise UserError(
            f"{run.predictions.folder}: has no scores, which the calibration needs; validate the run again."
        )
    names = list(run.predictions.class_names)
    cases = read_cases(run, len(names))
    errors = 1 - cases.ious + ~cases.named
    table, figure = confused(names, cases.confusion(len(names)), "images")
    calibration = cases.calibration

    def words(place: int) -> str:
        label, wanted = names[cases.found[place] - 1], names[cases.wanted[place] - 1]
        return f"{wanted if cases.named[place] else f'{wanted} named {label}'}, IoU {cases.ious[place]:.2f}"

    return Analysis(
        title=f"Analysis of {run.name}",
        facts=facts(run),
        sentences=_sentences(cases, names, calibration),
        numbers=_numbers(cases, names, calibration),
        tables=[_four_cases(cases), _repairs(cases), _by_class(cases, names), table, _bins(calibration)],
        figures=[figure, _iou_curve(cases), _reliability_curve(calibration)],
        images=largest(run, errors, words),
        scores=dict(zip(cases.image_ids.tolist(), errors.tolist(), strict=True)),
        score_words="1 - IoU, and 1 more for a wrong class",
    )


def _shares(cases: Cases) -> dict[str, NDArray[np.bool_]]:
    named, boxed = cases.named, cases.boxed
    return {
        "both right": named & boxed,
        "box wrong": named & ~boxed,
        "class wrong": ~named & boxed,
        "both wrong": ~named & ~boxed,
    }


def _sentences(cases: Cases, names: list[str], calibration: Calibration) -> list[str]:
    shares = {name: float(rows.mean()) for name, rows in _shares(cases).items()}
    right = cases.metrics["loc_accuracy"]
    gains = {"box": cases.metrics["class_accuracy"] - right, "class": 1 - cases.metrics["gt_class_error"] - right}
    more = "boxes" if gains["box"] > gains["class"] else "classes"
    said = [
        f"Class and box are right in {percent(shares['both right'])} of the images; the box alone is wrong in "
        f"{percent(shares['box wrong'])}, the class alone in {percent(shares['class wrong'])}, both in "
        f"{percent(shares['both wrong'])}.",
        f"Right boxes would add {percent(gains['box'])} of the images, right classes {percent(gains['class'])}"
        + ("." if gains["box"] == gains["class"] else f": the {more} cost more."),
    ]
    counts = np.bincount(cases.wanted, minlength=len(names) + 1)[1:]
    right_names = np.bincount(cases.wanted[cases.named], minlength=len(names) + 1)[1:]
    often = counts >= FEWEST
    if often.any():
        own = np.where(often, right_names / np.maximum(counts, 1), np.nan)
        said.append(f"The class is found least often for {lowest(names, own)}, of those with {FEWEST} images.")
    mean, accuracy = float(cases.probabilities.max(axis=1).mean()), cases.metrics["class_accuracy"]
    said.append(
        f"The mean probability of the named class is {percent(mean)}, the class accuracy {percent(accuracy)} (ECE "
        f"{percent(calibration.error)}): the network is {'too' if mean > accuracy else 'not'} sure"
        f"{'' if mean > accuracy else ' enough'}."
    )
    return said


def _numbers(cases: Cases, names: list[str], calibration: Calibration) -> dict[str, Number]:
    words = {"loc_accuracy": "localization accuracy", "class_accuracy": "class accuracy", "mean_iou": "mean IoU",
             "loc_accuracy_top5": "localization accuracy of the best five"}  # fmt: skip
    numbers = {name: Number(cases.metrics[name], text, "percent", True) for name, text in words.items()}
    numbers["gt_class_error"] = Number(cases.metrics["gt_class_error"], "box error of the true class", "percent", False)
    numbers["ece"] = Number(calibration.error, "calibration error", "percent", False)
    for name, rows in list(_shares(cases).items())[1:]:
        key = name.replace(" ", "_")
        numbers[key] = Number(float(rows.sum()), f"images with {name}", "count", False)
    right = cases.named & cases.boxed
    for label, name in enumerate(names, start=1):
        rows = cases.wanted == label
        share = float(right[rows].mean()) if rows.any() else float("nan")
        numbers[f"loc_accuracy/{name}"] = Number(share, f"localization accuracy of {name}", "percent", True)
    return numbers


def _four_cases(cases: Cases) -> Table:
    rows = [(name, int(own.sum()), float(own.mean()), float(cases.ious[own].mean()) if own.any() else None)
            for name, own in _shares(cases).items()]  # fmt: skip
    columns = [Column("case"), Column("images", "count"), Column("% of the images", "percent"),
               Column("mean IoU", "number")]  # fmt: skip
    about = f"The most probable class, and its box. {SOURCE} Both right is loc_accuracy; the four cases are all images."
    return Table("cases", "Class error and box error", about, columns, rows)


def _repairs(cases: Cases) -> Table:
    right = cases.metrics["loc_accuracy"]
    rows = [
        ("as it is", right, 0.0),
        ("every class right", 1 - cases.metrics["gt_class_error"], 1 - cases.metrics["gt_class_error"] - right),
        ("every box right", cases.metrics["class_accuracy"], cases.metrics["class_accuracy"] - right),
    ]
    columns = [Column("if"), Column("loc_accuracy", "percent"), Column("gain", "percent")]
    about = (
        "The accuracy if the class, with the box that the network gives the true class, or the box were always right."
    )
    return Table("repairs", "What each error costs", f"In percent. {about}", columns, rows)


def _by_class(cases: Cases, names: list[str]) -> Table:
    own_ece = cases.class_ece.tolist()
    rows = []
    for label, name in enumerate(names, start=1):
        own = cases.wanted == label
        marks = (cases.named & cases.boxed, cases.named, cases.own_ious >= IOU, cases.own_ious)
        shares = [float(mark[own].mean()) if own.any() else None for mark in marks]
        found = cases.found == label
        precision = float(cases.named[found].mean()) if found.any() else None
        rows.append((name, int(own.sum()), *shares, precision, own_ece[label - 1]))
    headers = ("both right", "class right", "box right", "mean IoU", "right when named", "ECE")
    columns = [Column("class"), Column("images", "count"), *(Column(header, "percent") for header in headers)]
    about = (
        f"In percent of the class's images. {SOURCE} Boxes are those of the true class. Right when named: the share of "
        "the images with this most probable class that are of it. ECE is that of the class's probability over all "
        "images (Kull et al. 2019, class-wise ECE)."
    )
    return Table("classes", "Classes", about, columns, rows)


def _iou_curve(cases: Cases) -> Figure:
    limits = np.linspace(0, 1, 101)
    boxes = {"box of the most probable class": cases.ious, "box of the true class": cases.own_ious}
    lines = {name: (limits, (ious >= limits[:, None]).mean(axis=1)) for name, ious in boxes.items()}
    about = "Share of the images whose box reaches an IoU with the target, whether the class is right or wrong."
    return curves("iou", "Boxes by IoU", about, ("IoU, at least", "share of the images"), lines)


def _reliability_curve(calibration: Calibration) -> Figure:
    filled = calibration.numbers > 0
    line = (calibration.score[filled], calibration.precision[filled])
    about = f"Accuracy of the most probable class by its probability. {CALIBRATION}"
    return curves("reliability", "Calibration", about, ("mean probability", "class accuracy"),
                  {"network": line}, diagonal=True)  # fmt: skip


def _bins(calibration: Calibration) -> Table:
    edges, columns = np.linspace(0, 1, BINS + 1), (calibration.numbers, calibration.score, calibration.precision)
    places = np.flatnonzero(calibration.numbers).tolist()
    rows: list[list[Value]] = [
        [f"{edges[place]:.1f} to {edges[place + 1]:.1f}", *(float(column[place]) for column in columns)]
        for place in places
    ]
    headers = [Column("probability"), Column("images", "count"), Column("mean probability", "percent"),
               Column("class accuracy", "percent")]  # fmt: skip
    return Table("calibration", "Calibration in numbers", CALIBRATION, headers, rows)

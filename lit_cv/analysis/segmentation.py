"""The analysis of class masks: IoU and boundary IoU by class, confused classes, and where the wrong pixels lie."""

import numpy as np
from numpy.typing import NDArray

from lit_cv.analysis.contract import Analysis, Column, Evaluated, Figure, Number, Table
from lit_cv.analysis.figures import curves
from lit_cv.analysis.measures.masks import MaskErrors, mask_errors
from lit_cv.analysis.parts import NAMED, confused, extremes, facts, largest, listed, percent
from lit_cv.metrics.contours import WIDEST

NEAR = 5  # pixels, for the sentence about wrong pixels near a contour
SOURCE = (
    "Boundary IoU (Cheng et al. 2021, arXiv:2103.16562) compares the pixels of target and prediction within a "
    "band inside their contours; the edge of an image and of void is a contour."
)


def analyze(run: Evaluated) -> Analysis:
    """Analyze the class masks of a run."""
    names = ["background", *run.predictions.class_names]
    errors = mask_errors(run, len(names))
    table, figure = confused(names, errors.confusion, "pixels")
    shares = errors.shares
    return Analysis(
        title=f"Analysis of {run.name}",
        facts=facts(run),
        sentences=_sentences(errors, names),
        numbers=_numbers(errors, names),
        tables=[_by_class(errors, names), table, _by_width(errors)],
        figures=[figure, _boundary_curve(errors), _near_curve(errors)],
        images=largest(run, shares, lambda place: f"{percent(shares[place])} of its pixels are wrong"),
        scores=dict(zip(errors.image_ids.tolist(), shares.tolist(), strict=True)),
        score_words="share of wrong pixels",
    )


def _mean(values: NDArray[np.float64]) -> float:
    """Return the mean over the classes that have a value."""
    return float(np.mean(values[np.isfinite(values)])) if np.isfinite(values).any() else float("nan")


def _sentences(errors: MaskErrors, names: list[str]) -> list[str]:
    if not errors.counted.any():
        return ["All pixels of the targets are void: there is nothing to compare."]
    said = [f"The IoU is {extremes(names, errors.iou, 'classes')}."]
    never = [name for name, wanted, found in zip(names, errors.confusion.sum(axis=1), errors.confusion.sum(axis=0),
                                                 strict=True) if wanted and not found]  # fmt: skip
    if never:
        more = f" and {len(never) - NAMED} more" if len(never) > NAMED else ""
        said.append(f"No pixel is predicted as {(', '.join(never[:NAMED]) + more) if more else listed(never)}.")
    wrong = errors.confusion - np.diag(errors.confusion.diagonal())
    if not wrong.any():
        return [*said, "No pixel is wrong."]
    row, column = divmod(int(wrong.argmax()), len(names))
    said.append(
        f"The most frequent error: pixels of {names[row]} are predicted as {names[column]}, "
        f"{percent(wrong[row, column] / wrong.sum())} of the wrong pixels."
    )
    (near_wrong, near), (all_wrong, counted) = errors.bands.near[NEAR - 1], errors.bands.near[-1]
    said.append(
        f"{percent(near_wrong / all_wrong)} of the wrong pixels lie within {NEAR} pixels of a contour of the target, "
        f"where {percent(near / counted)} of the pixels lie."
    )
    boundary = _mean(errors.bands.boundary_iou[-1])
    return [*said, f"The mean boundary IoU is {percent(boundary)}, the mean IoU {percent(errors.metrics['miou'])}."]


def _numbers(errors: MaskErrors, names: list[str]) -> dict[str, Number]:
    boundary = errors.bands.boundary_iou[-1]
    words = {"miou": "mean IoU", "pixel_accuracy": "pixel accuracy", "mean_accuracy": "mean accuracy of the classes"}
    numbers = {name: Number(errors.metrics[name], text, "percent", True) for name, text in words.items()}
    numbers["boundary_iou"] = Number(_mean(boundary), "mean boundary IoU", "percent", True)
    numbers["wrong_pixels"] = Number(float(errors.wrong.sum()), "wrong pixels", "count", False)
    near = float(errors.bands.near[NEAR - 1, 0])
    numbers["wrong_near"] = Number(near, f"wrong pixels within {NEAR} pixels of a contour", "count", False)
    numbers["wrong_far"] = Number(float(errors.wrong.sum()) - near, "wrong pixels far from contours", "count", False)
    for name, iou, own in zip(names, errors.iou.tolist(), boundary.tolist(), strict=True):
        numbers[f"iou/{name}"] = Number(iou, f"IoU of {name}", "percent", True)
        numbers[f"boundary_iou/{name}"] = Number(own, f"boundary IoU of {name}", "percent", True)
    return numbers


def _by_class(errors: MaskErrors, names: list[str]) -> Table:
    hits, wanted, found = errors.confusion.diagonal(), errors.confusion.sum(axis=1), errors.confusion.sum(axis=0)
    with np.errstate(invalid="ignore"):
        recall, precision = hits / wanted, hits / found
    columns = [wanted / max(wanted.sum(), 1), errors.iou, errors.bands.boundary_iou[-1], recall, precision]
    rows = [(name, *values) for name, *values in zip(names, *(column.tolist() for column in columns), strict=True)]
    headers = ("% of the pixels", "IoU", "boundary IoU", "found", "right")
    about = (
        f"In percent. {SOURCE} The band is 2 % of the image's diagonal wide. Found: the share of the class's pixels "
        "that are predicted as the class; right: the share of the pixels predicted as the class that are of it."
    )
    return Table("classes", "Classes", about, [Column("class"), *(Column(name, "percent") for name in headers)], rows)


def _by_width(errors: MaskErrors) -> Table:
    widths = [width for width in (1, 2, 3, 5, 10, 20, WIDEST) if width <= WIDEST]
    all_wrong, counted = np.maximum(errors.bands.near[-1], 1).tolist()
    rows = []
    for width in widths:
        near_wrong, near = errors.bands.near[width - 1].tolist()
        boundary = _mean(errors.bands.boundary_iou[width - 1])
        rows.append((str(width), boundary, near_wrong / all_wrong, near / counted, near_wrong / max(near, 1)))
    columns = [Column("pixels"), *(Column(name, "percent") for name in (
        "mean boundary IoU", "% of the wrong pixels", "% of all pixels", "wrong near the contour"))]  # fmt: skip
    about = (
        f"In percent. {SOURCE} Here the band has the given width in pixels. The other columns are of the pixels at "
        "most so far from a contour of the target, on both sides (the trimap of Kohli et al. 2009)."
    )
    return Table("contours", "Contours", about, columns, rows)


def _boundary_curve(errors: MaskErrors) -> Figure:
    widths = np.arange(1, WIDEST + 1, dtype=np.float64)
    means = np.array([_mean(row) for row in errors.bands.boundary_iou[:WIDEST]])
    miou = np.full(WIDEST, errors.metrics["miou"])
    return curves("boundary_iou", "Boundary IoU by width of the band", SOURCE, ("pixels", "mean over classes"),
                  {"boundary IoU": (widths, means), "IoU": (widths, miou)}, unit=False)  # fmt: skip


def _near_curve(errors: MaskErrors) -> Figure:
    widths = np.arange(1, WIDEST + 1, dtype=np.float64)
    shares = errors.bands.near[:WIDEST] / np.maximum(errors.bands.near[-1], 1)
    about = "Share of the wrong pixels, and of all pixels, by their distance to the nearest contour of the target."
    return curves("near_contours", "Where the wrong pixels lie", about, ("distance in pixels, at most", "share"),
                  {"wrong pixels": (widths, shares[:, 0]), "all pixels": (widths, shares[:, 1])},
                  unit=False)  # fmt: skip

"""The analysis of dense captions: the AP matrix, what becomes of the regions, and the best and worst phrases."""

import numpy as np

from lit_cv.analysis.contract import Analysis, Column, Evaluated, Figure, Number, Table, Value
from lit_cv.analysis.figures import matrix
from lit_cv.analysis.measures.phrases import IOU, KINDS, METEOR, Captions, Phrase, read_captions
from lit_cv.analysis.parts import facts, largest, percent
from lit_cv.metrics.densecap import IOUS, METEORS

SHOWN = 12  # rows of the tables of phrases
DRAWN = 0.3  # minimum score of the regions in pictures
SOURCE = "DenseCap's average precision (Johnson et al. 2016, section 4.2)"
MEANINGS = (
    f"Each target region, by the first region that has taken it: described, with IoU at least {IOU} and METEOR above "
    f"{METEOR}; wrong phrase, with such an IoU; wrong box, with a lower IoU; missed, by no region."
)


def analyze(run: Evaluated) -> Analysis:
    """Analyze the described regions of a run."""
    captions = read_captions(run, run.settings.get("meteor", "meteor"))
    total = captions.kinds.sum(axis=1)
    lost = total - captions.kinds[:, 0]

    def words(place: int) -> str:
        return f"{captions.kinds[place, 0]} of {total[place]} regions described"

    return Analysis(
        title=f"Analysis of {run.name}",
        facts=facts(run),
        sentences=_sentences(captions),
        numbers=_numbers(captions),
        tables=[_matrix(captions), _kinds(captions), *_phrases(captions, run), _frequent(captions)],
        figures=[_matrix_figure(captions)],
        images=largest(run, lost.astype(np.float64), words, DRAWN),
        scores=dict(zip(captions.image_ids.tolist(), (lost / np.maximum(total, 1)).tolist(), strict=True)),
        score_words="share of regions that are not described",
        threshold=DRAWN,
    )


def _sentences(captions: Captions) -> list[str]:
    described, phrase, box, missed = captions.kinds.sum(axis=0).tolist()
    total = described + phrase + box + missed
    if not total:
        return ["There is no target region."]
    said = [
        f"Of {total:,} target regions, {percent(described / total)} are described, {percent(phrase / total)} have a "
        f"wrong phrase, {percent(box / total)} a wrong box, and {percent(missed / total)} are missed."
    ]
    boxes, whole = captions.boxes.mean(), captions.matrix.mean()
    said.append(f"The AP of the boxes alone is {percent(boxes)}, with their phrases {percent(whole)}.")
    if captions.counts:
        text, count = captions.counts.most_common(1)[0]
        every = captions.counts.total()
        said.append(f"The {every:,} regions found have {len(captions.counts):,} different phrases; the most frequent, "
                    f"“{text}”, is {percent(count / every)} of them.")  # fmt: skip
    return said


def _value(value: float) -> float:
    return float("nan") if value == -1 else value  # the metric's sign for nothing to evaluate


def _numbers(captions: Captions) -> dict[str, Number]:
    words = {f"{captions.prefix}densecap_map": "dense-caption AP", "box_map": "AP of the boxes alone"}
    numbers = {name: Number(_value(captions.metrics[name]), text, "percent", True) for name, text in words.items()}
    name = f"{captions.prefix}meteor"
    numbers[name] = Number(_value(captions.metrics[name]), "mean METEOR", "number", True)
    for kind, count in zip(KINDS, captions.kinds.sum(axis=0).tolist(), strict=True):
        text = {"missed": "missed regions", "described": "described regions"}.get(kind, f"regions with a {kind}")
        numbers[kind.replace(" ", "_")] = Number(float(count), text, "count", kind == "described")
    numbers["phrases"] = Number(float(len(captions.counts)), "different phrases", "count", None)
    return numbers


def _matrix(captions: Captions) -> Table:
    values = [[*row, box] for row, box in zip(captions.matrix.tolist(), captions.boxes.tolist(), strict=True)]
    rows: list[list[Value]] = [[f"{iou:g}", *map(_value, row)] for iou, row in zip(IOUS, values, strict=True)]
    columns = [Column("IoU"), *(Column(f"METEOR > {score:g}", "percent") for score in METEORS),
               Column("box alone", "percent")]  # fmt: skip
    about = (
        f"In percent. {SOURCE}; the mean of the matrix is {captions.prefix}densecap_map, that of the boxes alone "
        f"box_map.{_measure(captions)}"
    )
    return Table("ap", "AP by IoU and METEOR, and of the boxes alone", about, columns, rows)


def _matrix_figure(captions: Captions) -> Figure:
    about = f"{SOURCE}: a region is right with at least this IoU and a METEOR above this threshold.{_measure(captions)}"
    rows, columns = ([f"{limit:g}" for limit in limits] for limits in (IOUS, METEORS))
    axes = ("METEOR above", "IoU at least")
    return matrix("ap_matrix", "AP matrix", about, axes, rows, columns, captions.matrix.clip(0), ".1%")


def _measure(captions: Captions) -> str:
    return " METEOR is exact_match_meteor here, which is a different measure." if captions.prefix else ""


def _kinds(captions: Captions) -> Table:
    counts = captions.kinds.sum(axis=0)
    rows = [
        (kind, count, count / max(int(counts.sum()), 1)) for kind, count in zip(KINDS, counts.tolist(), strict=True)
    ]
    columns = [Column("target regions"), Column("number", "count"), Column("% of the regions", "percent")]
    return Table("regions", "What becomes of the target regions", MEANINGS, columns, rows)


def _phrases(captions: Captions, run: Evaluated) -> list[Table]:
    names = dict(zip(run.predictions.image_ids.tolist(), run.predictions.names, strict=True))
    columns = [Column("phrase"), Column("METEOR", "number"), Column("IoU", "number"), Column("image"),
               Column("target's phrases")]  # fmt: skip

    def table(name: str, title: str, phrases: list[Phrase]) -> Table:
        rows = [(one.text, one.meteor, one.iou, names[one.image_id], " / ".join(one.references)) for one in phrases]
        about = f"Phrases of regions that have taken a target region with IoU at least {IOU}, each text once."
        return Table(name, title, about, columns, rows)

    return [
        table("best_phrases", "Best phrases", captions.best(SHOWN)),
        table("worst_phrases", "Worst phrases", captions.worst(SHOWN)),
    ]


def _frequent(captions: Captions) -> Table:
    total = max(captions.counts.total(), 1)
    rows = [(text, count, count / total) for text, count in captions.counts.most_common(SHOWN)]
    columns = [Column("phrase"), Column("regions", "count"), Column("% of the regions", "percent")]
    return Table("frequent_phrases", "Most frequent phrases", "Of all regions found.", columns, rows)

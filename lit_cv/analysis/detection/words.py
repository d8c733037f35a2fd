"""The most telling findings in sentences, each by a stated rule."""

from collections.abc import Iterator

from lit_cv.analysis.detection.regions import Regions
from lit_cv.analysis.detection.slices import Group
from lit_cv.analysis.detection.tables import LOST, NAMES
from lit_cv.analysis.detection.tide import KINDS

FEWEST = 10  # objects of a group from which it is compared


def sentences(regions: Regions) -> Iterator[str]:
    """Yield sentences, the most telling first; none about detections if there are no objects."""
    name = NAMES[regions.kind]
    whole, *parts = regions.groups
    if not whole.objects:
        yield "The images have no objects, so nothing can be said about the detections."
        return
    yield _costs(regions, name)
    yield _missed(whole, parts)
    yield from _averages(regions, name)
    curve = regions.curve
    if len(curve.f1) and not curve.f1.any():
        yield "No detection of any score finds an object of its class (IoU 0.5)."
    elif len(curve.f1):
        values = 100 * curve.precision[curve.best], 100 * curve.recall[curve.best]
        yield (
            f"At score {curve.threshold:.2f}, where F1 is best, {values[0]:.0f} % of the detections are right and "
            f"{values[1]:.0f} % of the objects are found."
        )
        yield from _gap(parts)
    yield from _calibration(regions)
    yield from _confusion(regions)


def _costs(regions: Regions, name: str) -> str:
    """Name the two kinds of errors that cost most."""
    (first, high), (second, low) = sorted(((k, regions.costs[k]) for k in KINDS), key=lambda pair: -pair[1])[:2]
    if high <= 0:
        return f"No kind of error alone costs {name}AP at IoU 0.5, which is {100 * regions.costs['AP']:.1f}."
    return (
        f"Most {name}AP at IoU 0.5 ({100 * regions.costs['AP']:.1f}) is lost to {LOST[first]}: {100 * high:.1f} "
        f"points; then to {LOST[second]}: {100 * low:.1f}."
    )


def _missed(whole: Group, parts: list[Group]) -> str:
    """Compare the share of small objects among the missed with that among all."""
    small = next(group for group in parts if group.name == "small")
    text = f"{whole.missed:,} of {whole.objects:,} objects are missed altogether"
    if whole.missed and small.objects:
        shares = small.missed / whole.missed, small.objects / whole.objects
        text += f"; {100 * shares[0]:.0f} % of these are small, of all objects {100 * shares[1]:.0f} %"
    return f"{text}."


def _averages(regions: Regions, name: str) -> Iterator[str]:
    """State COCO's AP by size."""
    values = regions.averages.numbers
    known = [(s, values[f"map_{s}"]) for s in ("small", "medium", "large") if values[f"map_{s}"] == values[f"map_{s}"]]
    if len(known) > 1:
        parts = ", ".join(f"{100 * value:.1f} of {size}" for size, value in known)
        yield f"COCO's {name}AP is {100 * values['map']:.1f}: {parts} objects."


def _gap(parts: list[Group]) -> Iterator[str]:
    """Name the property, besides size, whose groups of at least ten objects differ most in what is found."""
    gaps = []
    for name in dict.fromkeys(group.property for group in parts if group.property != "size"):
        own = sorted(
            (g for g in parts if g.property == name and g.objects >= FEWEST), key=lambda group: group.confident
        )
        if len(own) > 1:
            gaps.append((own[-1].confident - own[0].confident, own[0], own[-1]))
    if gaps and (most := max(gaps, key=lambda gap: gap[0]))[0] > 0:
        texts = [f"{100 * g.confident:.0f} % of {g.objects:,} objects ({g.name})" for g in most[1:]]
        yield f"Found at that score, by {most[1].property}: {' and '.join(texts)}."


def _calibration(regions: Regions) -> Iterator[str]:
    """Say whether scores are too high or too low on average."""
    found = regions.calibration
    total = found.numbers.sum()
    if not total:
        return
    filled = found.numbers > 0
    score, share = (float((v[filled] * found.numbers[filled]).sum() / total) for v in (found.score, found.precision))
    word = "high" if score > share else "low"
    yield (
        f"Scores are too {word} on average: {score:.2f} for detections of which {100 * share:.0f} % are right; "
        f"expected calibration error {100 * found.error:.1f} %."
    )


def _confusion(regions: Regions) -> Iterator[str]:
    """Name the most frequent confusion of two classes."""
    mixed = regions.confusion[:-1, :-1].copy()
    for label in range(len(mixed)):
        mixed[label, label] = 0
    if mixed.any():
        row, column = divmod(int(mixed.argmax()), len(mixed))
        total = int(regions.confusion[row].sum())
        yield (
            f"The most frequent confusion: {mixed[row, column]} of {total} objects of {regions.names[row]} are taken "
            f"for {regions.names[column]}."
        )

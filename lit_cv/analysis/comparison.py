"""Two runs beside each other: their numbers, and the images on which they differ most."""

from lit_cv.analysis.contract import Analysis, Column, Evaluated, Form, Number, Shown, Table, Value
from lit_cv.errors import UserError
from lit_cv.renderers.canvas import side_by_side

PICTURES = 8
ONE_RUN = (
    "These are single runs: a second seed of the same settings differs, too. To claim that a setting is better, run "
    "several seeds of each and compare the arms with `litcv report --analyze`."
)


def compare(first: Evaluated, second: Evaluated, analyses: tuple[Analysis, Analysis]) -> Analysis:
    """Compare two runs on the same images.

    Args:
        first: The run that differences are taken to.
        second: The other run.
        analyses: Their analyses, by the same function.

    Raises:
        UserError: The runs are of other images, classes or tasks.
    """
    check_same(first, second)
    old, new = analyses
    shared = [name for name in old.numbers if name in new.numbers]
    rows: list[list[Value]] = []
    for name in shared:
        before, after = old.numbers[name], new.numbers[name]
        values = (before.value, after.value, after.value - before.value)
        rows.append([before.words, *(_shown(value, before.form) for value in values)])
    columns = [Column("number"), *(Column(name, "number") for name in (first.name, second.name, "difference"))]
    about = f"Percentages are in points. {ONE_RUN}"
    changes = {image: new.scores[image] - value for image, value in old.scores.items()}
    order = sorted((image for image, change in changes.items() if change), key=lambda image: -abs(changes[image]))
    return Analysis(
        title=f"{second.name} beside {first.name}",
        facts=f"{len(first):,} images of {first.predictions.split}; {len(order):,} of them differ in {old.score_words}",
        sentences=[*largest_changes(second.name, old, new), ONE_RUN],
        numbers={},
        tables=[Table("numbers", "Numbers of both runs", about, columns, rows)],
        figures=[],
        images=[_picture(first, second, analyses, image) for image in order[:PICTURES]],
        scores=changes,
        score_words=f"change of {old.score_words}",
    )


def check_same(first: Evaluated, second: Evaluated) -> None:
    """Check that two runs are of the same task, classes and images.

    Raises:
        UserError: They are not.
    """
    one, other = first.predictions, second.predictions
    if one.tasks[0] != other.tasks[0] and not set(one.tasks) & set(other.tasks):
        raise UserError(
            f"{second.folder}: is of {other.tasks[0]}, but {first.folder} of {one.tasks[0]}; compare runs of one task."
        )
    if one.class_names != other.class_names:
        raise UserError(f"{second.folder}: has other classes than {first.folder}; compare runs on the same data.")
    if one.names != other.names:
        only = sorted(set(one.names) ^ set(other.names))
        example = f" {only[0]} is in one of them alone;" if only else ""
        raise UserError(
            f"{second.folder}: has predictions of other images than {first.folder} ({len(other.names)} and "
            f"{len(one.names)});{example} evaluate both on the same data."
        )


def largest_changes(name: str, old: Analysis, new: Analysis) -> list[str]:
    """Return sentences about the two percentages and the count that change most."""
    texts: list[str] = []
    for form, most in (("count", 1), ("percent", 2)):
        changes = [
            (abs(new.numbers[key].value - own.value), key)
            for key, own in old.numbers.items()
            if own.form == form and own.higher_is_better is not None and key in new.numbers
        ]
        changed = sorted((pair for pair in changes if pair[0] > 0), reverse=True)[:most]
        texts += [change_in_words(name, old.numbers[key], new.numbers[key].value) for _, key in changed]
    return texts


def change_in_words(name: str, before: Number, after: float) -> str:
    """Return a sentence such as ``x removes 40 % of the missed small objects (10 to 6).``"""
    if before.form == "count":
        if before.value and after < before.value:
            share = 100 * (before.value - after) / before.value
            return f"{name} removes {share:.0f} % of the {before.words} ({before.value:,.0f} to {after:,.0f})."
        return f"{name} has {after:,.0f} {before.words} instead of {before.value:,.0f}."
    old, new = _shown(before.value, before.form), _shown(after, before.form)
    return f"{name} has {before.words} {new:.3g} instead of {old:.3g}."


def _shown(value: float, form: Form) -> float:
    return 100 * value if form == "percent" else value


def _picture(first: Evaluated, second: Evaluated, analyses: tuple[Analysis, Analysis], image_id: int) -> Shown:
    image = first.image(image_id)
    drawn = [first.renderer(0.0).draw(image, first.target(image_id))]
    for run, own in zip((first, second), analyses, strict=True):
        drawn.append(run.renderer(own.threshold).draw(image, run.found(image_id)))
    before, after = (own.scores[image_id] for own in analyses)
    caption = f"Image {image_id}: {before:.3g} and {after:.3g} {analyses[0].score_words}."
    return Shown(f"differs_{image_id}", caption, side_by_side(drawn, ["ground truth", first.name, second.name]))

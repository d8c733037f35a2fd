"""Pictures of errors: of each kind the one with the highest score, and the image with the most missed objects."""

from collections.abc import Iterator

import numpy as np
import torch

from lit_cv.analysis.contract import Evaluated, Shown
from lit_cv.analysis.detection.regions import Regions
from lit_cv.analysis.detection.tide import KINDS
from lit_cv.metrics.base import Evaluation
from lit_cv.ops.objects import rows_of
from lit_cv.renderers.canvas import side_by_side


def examples(run: Evaluated, evaluation: Evaluation, regions: Regions) -> Iterator[Shown]:
    """Yield the pictures: the targets on the left, the detection on the right."""
    ids = evaluation.image_ids
    for kind in (kind for kind in KINDS if kind != "Miss"):
        own = np.flatnonzero((regions.errors.kinds == kind) & ~regions.errors.ignored)
        if len(own):
            place = int(own[regions.found.scores[own].argmax()])
            image = int(regions.found.image[place])
            row = int(regions.found.rows[place] - np.searchsorted(evaluation.found["image"], image))
            name = regions.names[int(regions.found.labels[place]) - 1]
            text = f"{kind}, {KINDS[kind]}: {name} with score {regions.found.scores[place]:.2f}"
            yield _shown(run, f"example_{kind.lower()}", ids[image], text, 0.0, row)
    missed = np.bincount(regions.found.wanted["image"][regions.errors.missed], minlength=1)
    if missed.any():
        text = f"Miss, {KINDS['Miss']}: {missed.max()} objects; the detections have a score of at least"
        image = ids[int(missed.argmax())]
        yield _shown(run, "example_miss", image, f"{text} {regions.threshold:.2f}", regions.threshold)


def _shown(run: Evaluated, name: str, image_id: int, text: str, threshold: float, row: int | None = None) -> Shown:
    renderer, image, found = run.renderer(threshold), run.image(image_id), run.found(image_id)
    if row is not None:
        found = rows_of(found, torch.tensor([row]))
    pictures = [renderer.draw(image, run.target(image_id)), renderer.draw(image, found)]
    return Shown(name, f"{text}. Image {image_id}.", side_by_side(pictures, ["ground truth", "predictions"]))

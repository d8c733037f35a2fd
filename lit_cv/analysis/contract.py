"""The contract of an analysis: what it gets, the evaluated predictions, and what it gives, which a page renders.

An analysis is a function ``analyze(run: Evaluated) -> Analysis`` in a module that ``lit_cv.analysis.kinds`` names.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:  # the report reads analyses, and PyTorch would take most of its time
    import matplotlib.figure
    from torch import Tensor

    from lit_cv.ops.palette import Picture
    from lit_cv.predictions.files import Predictions
    from lit_cv.renderers.base import Renderer

Objects = dict[str, Any]
"""The prediction or the target of an image, as the network and the DataModule give them."""
Form = Literal["text", "count", "percent", "number"]
"""The form of a shown value: as it is; as an integer; a share of 1 in percent, one decimal; with three digits."""
Value = str | float | None
"""A text or a number; None and NaN mean that there is nothing to say."""


class Evaluated(Protocol):
    """The predictions of one run with the targets they are evaluated on. Iteration may be repeated."""

    name: str
    """Name in sentences, ``group/id``."""
    folder: Path
    predictions: "Predictions"
    """The files; ``predictions.class_names`` are those of labels 1..C, or of the joints of poses."""
    settings: Mapping[str, Any]
    """The arguments of the task in the run's configuration, such as ``sigmas``."""

    @property
    def data(self) -> object:
        """The opened DataModule; ask for more with ``lit_cv.contract.provides``."""

    def __len__(self) -> int:
        """Return the number of images."""

    def __iter__(self) -> Iterator[tuple[Objects, Objects]]:
        """Yield the prediction and the target of each image in ascending order of ``image_id``."""

    def image(self, image_id: int) -> "Tensor":
        """Return an image, uint8 (3, H, W) RGB."""

    def target(self, image_id: int) -> Objects:
        """Return the target of an image."""

    def found(self, image_id: int) -> Objects:
        """Return the prediction of an image."""

    def renderer(self, score_threshold: float) -> "Renderer":
        """Return the task's renderer of targets and predictions."""


class Column(NamedTuple):
    """A column of a table: its header, and the form of its values."""

    name: str
    form: Form = "text"


@dataclass(frozen=True)
class Table:
    """A table of the page, which is also a CSV file with all digits.

    Attributes:
        name: Stem of the file: lower case letters, digits and underscores.
        title: Heading.
        about: Sentences that say what the numbers mean, with the source of their definition.
        columns: The columns; the first one stays visible on narrow screens.
        rows: One value for each column.
    """

    name: str
    title: str
    about: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]


@dataclass(frozen=True)
class Figure:
    """A figure of the page, which is also a PNG file.

    Attributes:
        name: Stem of the file.
        title: Heading.
        about: Sentences that say how to read it.
        draw: Draws it into an empty matplotlib figure; see ``lit_cv.analysis.figures`` for common ones.
        size: Width and height in inches.
    """

    name: str
    title: str
    about: str
    draw: "Callable[[matplotlib.figure.Figure], None]"
    size: tuple[float, float] = (6.4, 4.0)


@dataclass(frozen=True)
class Shown:
    """A picture of the page: an image with what is drawn into it.

    Attributes:
        name: Stem of the file.
        caption: Sentence below it.
        pixels: uint8 (H, W, 3) RGB.
    """

    name: str
    caption: str
    pixels: "Picture"


@dataclass(frozen=True)
class Number:
    """A number that runs are compared by.

    Attributes:
        value: The value; percentages are shares of 1.
        words: The name in a sentence: ``AP of small objects``, or, of a count, ``missed small objects``.
        form: Its form; a ``count`` that should be low makes sentences such as "removes 40 % of the missed objects".
        higher_is_better: The direction; None if there is none.
    """

    value: float
    words: str
    form: Form
    higher_is_better: bool | None


@dataclass(frozen=True)
class Analysis:
    """All that is known about a run's predictions.

    Attributes:
        title: Heading of the page.
        facts: Line below it: task, number of images, split.
        sentences: The most telling findings, the most important first; the console prints them.
        numbers: Numbers that runs are compared by, by name; the same names for all runs of a task.
        tables: The tables, in the order of the page.
        figures: The figures, likewise.
        images: Pictures that show examples.
        scores: A number for each ``image_id`` by which the images are found on which two runs differ most.
        score_words: The name of these numbers: ``errors``.
        threshold: Score from which predictions are drawn when two runs are compared.
    """

    title: str
    facts: str
    sentences: Sequence[str]
    numbers: Mapping[str, Number]
    tables: Sequence[Table]
    figures: Sequence[Figure]
    images: Sequence[Shown] = ()
    scores: Mapping[int, float] = field(default_factory=dict)
    score_words: str = ""
    threshold: float = 0.0

"""Statistics of phrases: their lengths and their words."""

from collections.abc import Mapping, Sequence

import numpy as np

from datamodules.statistics.boxes import BoxTable
from datamodules.statistics.charts import Bars, Chart, Fact, Numbers, Statistics, mean, whole_histogram
from datamodules.visual_genome.packed_regions import PackedRegions, from_lines

MOST_WORDS = 30


def region_table(packed: PackedRegions) -> BoxTable:
    """Return the boxes of the regions of a split."""
    boxes = packed.boxes.astype(np.float64)
    owners = np.repeat(np.arange(len(packed)), np.diff(packed.offsets))
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return BoxTable(packed.sizes.astype(np.float64), owners, boxes, np.ones(len(boxes), np.int64), areas, 0)


def phrase_statistics(splits: Mapping[str, PackedRegions]) -> Statistics:
    """Return the statistics of the phrases of each split."""
    words = list(dict.fromkeys(word for packed in splits.values() for word in from_lines(packed.lexicon)))
    lengths = {name: np.diff(packed.word_offsets).astype(np.float64) for name, packed in splits.items()}
    counts = {name: _word_counts(packed, words) for name, packed in splits.items()}
    totals = {name: float(found.sum()) for name, found in counts.items()}
    unknown = {name: _unknown(packed, words, counts[name]) for name, packed in splits.items()}
    order = np.argsort(-next(iter(counts.values())), kind="stable")[:MOST_WORDS]
    facts = [
        Fact("words of a phrase, mean", {name: mean(found) for name, found in lengths.items()}, "number"),
        Fact("different words", {name: int((found > 0).sum()) for name, found in counts.items()}),
        Fact("words outside the vocabulary", unknown, "share"),
    ]
    charts: list[Chart] = [
        whole_histogram("Length of the phrases", "Number of words of each phrase.", lengths),
        Bars(
            "The most frequent words",
            "Number of times that the word occurs, and share of all words of the split.",
            [words[place] for place in order.tolist()],
            {name: found[order] for name, found in counts.items()},
            totals,
        ),
    ]
    return Statistics(facts, charts, [])


def _word_counts(packed: PackedRegions, words: Sequence[str]) -> Numbers:
    """Return how often each of the words occurs, float64 (L,)."""
    places = {word: place for place, word in enumerate(words)}
    lines = np.array([places[word] for word in from_lines(packed.lexicon)], dtype=np.int64)
    return np.bincount(lines[packed.words], minlength=len(words)).astype(np.float64)


def _unknown(packed: PackedRegions, words: Sequence[str], counts: Numbers) -> float:
    """Return the share of words outside the vocabulary; NaN without words."""
    known = packed.vocabulary.ids
    outside = np.array([word not in known for word in words], dtype=np.bool_)
    total = counts.sum()
    return float(counts[outside].sum() / total) if total else np.nan

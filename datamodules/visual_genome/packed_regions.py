"""Packed regions with phrases: words are stored as numbers and become text when a sample is read."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from datamodules.boxes.packed_boxes import clip_boxes
from datamodules.defects import outside_in_words
from datamodules.loading.packed import Content, Packed, PackedImages, as_bytes, offsets_of
from lit_cv.ops.vocabulary import PADDING, UNKNOWN, Vocabulary


class ParsedRegions(Packed):
    """``region_descriptions.json``, parsed once for all splits; see :class:`datamodules.visual_genome.files.Regions`.

    Attributes:
        names: bytes (I,), image ids.
        lexicon: uint8, the distinct words, one per line.
    """

    KIND: ClassVar[str] = "visual-genome-1"
    ARRAYS: ClassVar[tuple[str, ...]] = ("names", "offsets", "boxes", "word_offsets", "words", "lexicon")
    offsets: NDArray[np.int64]
    boxes: NDArray[np.float32]
    word_offsets: NDArray[np.int64]
    words: NDArray[np.int32]
    lexicon: NDArray[np.uint8]

    @cached_property
    def places(self) -> dict[int, int]:
        """Maps the id of each image to its index."""
        return {int(name): place for place, name in enumerate(self.names.tolist())}


class PackedRegions(PackedImages):
    """The images of a split and their regions.

    Attributes:
        offsets: int64 (N + 1,); regions ``offsets[i]:offsets[i + 1]`` belong to image i.
        boxes: float32 (M, 4), xyxy in pixels, inside the image, with x2 > x1 and y2 > y1.
        word_offsets: int64 (M + 1,); ``words[word_offsets[r]:word_offsets[r + 1]]`` are the words of region r.
        words: int32 (W,), lines of ``lexicon``; at least one for each region.
        lexicon: uint8, the distinct words of the whole file, one per line.
        known: uint8, the words of the vocabulary, one per line.
        counts: Numbers of images, of images without regions, of regions, of clipped boxes, of regions that were dropped
            because they have no area in the image (``dropped``), too many words (``long``) or no word (``wordless``),
            and of regions without any known word (``unknown``, kept).
    """

    KIND: ClassVar[str] = "regions-1"
    ARRAYS: ClassVar[tuple[str, ...]] = (
        *("names", "sizes", "offsets", "boxes", "word_offsets", "words", "lexicon", "known"),
    )
    offsets: NDArray[np.int64]
    boxes: NDArray[np.float32]
    word_offsets: NDArray[np.int64]
    words: NDArray[np.int32]
    lexicon: NDArray[np.uint8]
    known: NDArray[np.uint8]

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words of the training split that are frequent enough."""
        return Vocabulary(from_lines(self.known))

    @cached_property
    def _lexicon(self) -> list[str]:
        return from_lines(self.lexicon)

    @cached_property
    def _tokens(self) -> NDArray[np.int64]:
        """The vocabulary's id of each word of the lexicon."""
        ids = self.vocabulary.ids
        return np.array([ids.get(word, UNKNOWN) for word in self._lexicon], dtype=np.int64)

    @property
    def unknown_words(self) -> int:
        """The number of words in all phrases that are not in the vocabulary."""
        return int((self._tokens[self.words] == UNKNOWN).sum())

    def rows(self, index: int) -> slice:
        """Return the regions of image ``index``."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    def phrases(self, regions: NDArray[np.int64]) -> list[str]:
        """Return the normalized text of regions, including words that are not in the vocabulary."""
        ends = zip(self.word_offsets[regions].tolist(), self.word_offsets[regions + 1].tolist(), strict=True)
        return [" ".join([self._lexicon[word] for word in self.words[start:end].tolist()]) for start, end in ends]

    def tokens(self, regions: NDArray[np.int64], length: int) -> NDArray[np.int64]:
        """Return the vocabulary's ids of the words of regions (N,), int64 (N, ``length``), padded with 0."""
        starts = self.word_offsets[regions]
        lengths = self.word_offsets[regions + 1] - starts
        tokens = np.full((len(regions), length), PADDING, dtype=np.int64)
        filled = np.arange(length) < lengths[:, None]
        tokens[filled] = self._tokens[self.words[expand(starts, lengths)]]
        return tokens


def pack_regions(
    parsed: ParsedRegions,
    members: NDArray[np.int64],
    names: Sequence[str],
    sizes: NDArray[np.int32],
    max_words: int,
    known: Vocabulary | int,
    file: Path,
) -> Content:
    """Choose the usable regions of a split.

    Args:
        parsed: All regions.
        members: int64 (N,), indices of the split's images.
        names: Their paths.
        sizes: Their widths and heights, int32 (N, 2).
        max_words: Regions with more words are dropped.
        known: The vocabulary; or the minimum number of times that a word occurs, to build it from these regions.
        file: The file of the regions, for the notes.
    """
    per_image = np.diff(parsed.offsets)[members]
    regions = expand(parsed.offsets[members], per_image)
    boxes = parsed.boxes[regions]
    clipped, inside = clip_boxes(boxes, np.repeat(sizes, per_image, axis=0))
    lengths = parsed.word_offsets[regions + 1] - parsed.word_offsets[regions]
    wordless, long = phrase_flaws(lengths, max_words)
    keep = inside & ~wordless & ~long
    owners = np.repeat(np.arange(len(members)), per_image)[keep]
    offsets = offsets_of(owners, len(members))
    words = parsed.words[expand(parsed.word_offsets[regions[keep]], lengths[keep])]
    if isinstance(known, int):
        known = _count_words(parsed, words, known)
    word_offsets = np.concatenate([[0], np.cumsum(lengths[keep])]).astype(np.int64)
    is_known = np.array([word in known.ids for word in from_lines(parsed.lexicon)], dtype=np.bool_)
    arrays = {
        "names": as_bytes(names),
        "sizes": sizes,
        "offsets": offsets,
        "boxes": clipped[keep],
        "word_offsets": word_offsets,
        "words": words,
        "lexicon": parsed.lexicon,
        "known": to_lines(known.words),
    }
    counts = {
        "images": len(members),
        "images_without_regions": int(np.count_nonzero(np.diff(offsets) == 0)),
        "regions": int(keep.sum()),
        "clipped": int(((clipped != boxes).any(axis=1) & keep).sum()),
        "dropped": int((~inside).sum()),
        "long": int((inside & long).sum()),
        "wordless": int((inside & wordless).sum()),
        "unknown": int((count_known(words, word_offsets, is_known) == 0).sum()),
    }
    notes = (*_lost(counts, max_words), outside_in_words(boxes[keep], clipped[keep]))
    return Content(arrays, counts, tuple(f"{file}: {what}." for what in notes if what))


def _lost(counts: Mapping[str, int], max_words: int) -> Iterator[str]:
    """Yield a note on the regions that are left out, if there are any."""
    if reasons := left_out(counts, max_words):
        lost = sum(reasons.values())
        yield f"{lost} of {lost + counts['regions']} regions are left out ({in_words(reasons)})"


def left_out(counts: Mapping[str, int], max_words: int) -> dict[str, int]:
    """Return the reasons why regions are left out, each with its number of regions, at least 1.

    Args:
        counts: Numbers of regions that were ``dropped``, ``long`` and ``wordless``.
        max_words: The setting.
    """
    reasons = {
        "lie outside their image or have no area": counts["dropped"],
        f"have more than max_words={max_words} words": counts["long"],
        "have no word": counts["wordless"],
    }
    return {reason: count for reason, count in reasons.items() if count}


def in_words(reasons: Mapping[str, int]) -> str:
    """Return the reasons of :func:`left_out` as a list."""
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items())


def _count_words(parsed: ParsedRegions, words: NDArray[np.int32], minimum: int) -> Vocabulary:
    lexicon = from_lines(parsed.lexicon)
    counts = np.bincount(words, minlength=len(lexicon)).tolist()
    return Vocabulary.counted(dict(zip(lexicon, counts, strict=True)), minimum)


def phrase_flaws(lengths: NDArray[np.int64], max_words: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which phrases, of given numbers of words (M,), have no word, and which have too many, bool (M,) each."""
    return lengths == 0, lengths > max_words


def count_known(
    words: NDArray[np.int32], word_offsets: NDArray[np.int64], known: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return the number of words of each region that are in the vocabulary, int64 (M,).

    Args:
        words: int32 (W,), indices into the lexicon.
        word_offsets: int64 (M + 1,), the range of words of each region.
        known: bool (L,), whether each word of the lexicon is in the vocabulary.
    """
    sums = np.concatenate([[0], np.cumsum(known[words])])
    counts: NDArray[np.int64] = sums[word_offsets[1:]] - sums[word_offsets[:-1]]
    return counts


def expand(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of the ranges ``starts[i]`` to ``starts[i] + lengths[i]``, concatenated."""
    shifts = starts - (np.cumsum(lengths) - lengths)
    rows: NDArray[np.int64] = np.arange(int(lengths.sum())) + np.repeat(shifts, lengths)
    return rows


def to_lines(words: Sequence[str]) -> NDArray[np.uint8]:
    """Return words, which contain no line ends, as one array of bytes."""
    return np.frombuffer("\n".join(words).encode(), dtype=np.uint8)


def from_lines(lines: NDArray[np.uint8]) -> list[str]:
    """Invert :func:`to_lines`."""
    return lines.tobytes().decode().split("\n") if len(lines) else []

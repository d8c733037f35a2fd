"""Words and their ids, for networks that read or write phrases."""

import string
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

PADDING, START, END, UNKNOWN = range(4)
SPECIAL = ("<PAD>", "<START>", "<END>", "<UNK>")

# What the released code of DenseCap replaces before it deletes punctuation; accents fall off by decomposition.
_SPELLED_OUT = str.maketrans({"½": "half", "—": "-", "™": "", "¢": "cent", "°": " degree", "…": ""})
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def words_of(phrase: str) -> list[str]:
    """Split a phrase into its words as DenseCap does (Johnson et al. 2016 §4; their ``preprocess.py``).

    Lower case, a few characters spelled out, punctuation deleted (``man's`` becomes ``mans``, ``t-shirt`` ``tshirt``);
    accents fall off and other characters outside ASCII are deleted, where DenseCap's code knows four accented letters
    and stops at all others.

    Args:
        phrase: Text as people wrote it.

    Returns:
        Words of ASCII without blanks and punctuation; none for a phrase without a letter or digit.
    """
    if not phrase.isascii():
        decomposed = unicodedata.normalize("NFKD", phrase.translate(_SPELLED_OUT))
        phrase = decomposed.encode("ascii", "ignore").decode()
    return phrase.translate(_PUNCTUATION).lower().split()


class Vocabulary:
    """The words that a captioning network knows; a word's id is its place.

    Ids 0 to 3 are ``<PAD>``, ``<START>``, ``<END>`` and ``<UNK>``. Encoded phrases hold neither start nor end: a
    network that wants them adds them.

    Args:
        words: All words, the four special ones first, none twice.

    Raises:
        ValueError: If they are not like that.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self.ids = {word: number for number, word in enumerate(self.words)}
        if self.words[: len(SPECIAL)] != SPECIAL or len(self.ids) < len(self.words):
            raise ValueError(f"a vocabulary starts with {', '.join(SPECIAL)} and names no word twice")

    @classmethod
    def counted(cls, counts: Mapping[str, int], minimum: int) -> "Vocabulary":
        """The words that occur often enough, the most frequent first, equally frequent ones by the alphabet.

        Args:
            counts: How often each word occurs in the training phrases.
            minimum: Rarer words become ``<UNK>`` (DenseCap: 15).
        """
        kept = (word for word, count in counts.items() if count >= minimum)
        return cls([*SPECIAL, *sorted(kept, key=lambda word: (-counts[word], word))])

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, phrases: Sequence[str]) -> NDArray[np.int64]:
        """Ids of the phrases' words, int64 (N, T), T the longest's number of words, padded with 0; see `words_of`."""
        rows = [[self.ids.get(word, UNKNOWN) for word in words_of(phrase)] for phrase in phrases]
        tokens = np.full((len(rows), max(map(len, rows), default=0)), PADDING, dtype=np.int64)
        for number, row in enumerate(rows):
            tokens[number, : len(row)] = row
        return tokens

    def decode(self, tokens: Tensor | NDArray[np.int64]) -> list[str]:
        """The phrases of ids, int (N, T): each up to its first ``<END>`` or padding, without ``<START>``.

        Raises:
            IndexError: If an id is not below the number of words.
        """
        return [" ".join(self._until_end(row)) for row in tokens.tolist()]

    def _until_end(self, row: Iterable[int]) -> Iterable[str]:
        for token in row:
            if token in (END, PADDING):
                return
            if token != START:
                yield self.words[token]

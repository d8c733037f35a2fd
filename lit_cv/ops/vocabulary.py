"""Words and their ids, for networks that read or write phrases."""

import string
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

PADDING, START, END, UNKNOWN = range(4)
SPECIAL = ("<PAD>", "<START>", "<END>", "<UNK>")

# Replaced by DenseCap's released code before it deletes punctuation. Unicode decomposition removes accents.
_SPELLED_OUT = str.maketrans({"½": "half", "—": "-", "™": "", "¢": "cent", "°": " degree", "…": ""})
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def words_of(phrase: str) -> list[str]:
    """Split a phrase into its words as DenseCap does (Johnson et al. 2016 §4; their ``preprocess.py``).

    Words are lower case, a few characters are spelled out and punctuation is deleted (``man's`` becomes ``mans``,
    ``t-shirt`` becomes ``tshirt``). Accents and other non-ASCII characters are removed. DenseCap's code handles only
    four accented letters and fails on all others.

    Args:
        phrase: Raw text.

    Returns:
        ASCII words without spaces and punctuation; an empty list for a phrase without letters or digits.
    """
    if not phrase.isascii():
        decomposed = unicodedata.normalize("NFKD", phrase.translate(_SPELLED_OUT))
        phrase = decomposed.encode("ascii", "ignore").decode()
    return phrase.translate(_PUNCTUATION).lower().split()


class Vocabulary:
    """Words known to a captioning network; the id of a word is its index.

    Ids 0 to 3 are ``<PAD>``, ``<START>``, ``<END>`` and ``<UNK>``. Encoded phrases contain neither
    ``<START>`` nor ``<END>``; the network adds them if needed.

    Args:
        words: All words, without duplicates, starting with the four special ones.

    Raises:
        ValueError: If the special words are not first or a word is repeated.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self.ids = {word: number for number, word in enumerate(self.words)}
        if self.words[: len(SPECIAL)] != SPECIAL or len(self.ids) < len(self.words):
            raise ValueError(f"a vocabulary must start with {', '.join(SPECIAL)} and must contain no word twice")

    @classmethod
    def counted(cls, counts: Mapping[str, int], minimum: int) -> "Vocabulary":
        """Build a vocabulary of the frequent words, most frequent first, ties in alphabetical order.

        Args:
            counts: Number of occurrences of each word in the training phrases.
            minimum: Minimum count; rarer words become ``<UNK>`` (DenseCap: 15).
        """
        kept = (word for word, count in counts.items() if count >= minimum)
        return cls([*SPECIAL, *sorted(kept, key=lambda word: (-counts[word], word))])

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, phrases: Sequence[str]) -> NDArray[np.int64]:
        """Return the word ids (see ``words_of``), int64 (N, T), padded with 0 to the longest phrase's T words."""
        rows = [[self.ids.get(word, UNKNOWN) for word in words_of(phrase)] for phrase in phrases]
        tokens = np.full((len(rows), max(map(len, rows), default=0)), PADDING, dtype=np.int64)
        for number, row in enumerate(rows):
            tokens[number, : len(row)] = row
        return tokens

    def decode(self, tokens: Tensor | NDArray[np.int64]) -> list[str]:
        """Return the phrases of ids int (N, T), each up to its first ``<END>`` or padding, without ``<START>``.

        Raises:
            IndexError: If an id is not less than the number of words.
        """
        return [" ".join(self._until_end(row)) for row in tokens.tolist()]

    def _until_end(self, row: Iterable[int]) -> Iterable[str]:
        for token in row:
            if token in (END, PADDING):
                return
            if token != START:
                yield self.words[token]

import numpy as np
import pytest
import torch

from lit_cv.ops.vocabulary import END, PADDING, SPECIAL, START, UNKNOWN, Vocabulary, words_of


@pytest.mark.parametrize(
    ("phrase", "words"),
    [
        ("  A Bricked  sidewalk. ", "a bricked sidewalk"),
        ("man's t-shirt, (red)", "mans tshirt red"),
        ("½ of a café — 90° turn…", "half of a cafe 90 degree turn"),
        ("Müller™ 5¢ ❤ sign’s", "muller 5cent signs"),
        ("...", ""),
        ("", ""),
    ],
)
def test_words_match_densecap(phrase: str, words: str) -> None:
    assert words_of(phrase) == words.split()


def test_frequent_words_are_kept_by_descending_count() -> None:
    vocabulary = Vocabulary.counted({"zebra": 5, "a": 9, "cat": 5, "rare": 4}, minimum=5)
    assert vocabulary.words == (*SPECIAL, "a", "cat", "zebra")
    assert (SPECIAL[PADDING], SPECIAL[START], SPECIAL[END], SPECIAL[UNKNOWN]) == ("<PAD>", "<START>", "<END>", "<UNK>")
    assert len(vocabulary) == 7


def test_phrases_are_encoded_and_decoded() -> None:
    vocabulary = Vocabulary([*SPECIAL, "a", "cat"])
    tokens = vocabulary.encode(["A cat.", "a rare cat", "rare", ""])
    assert tokens.tolist() == [[4, 5, 0], [4, 3, 5], [3, 0, 0], [0, 0, 0]]
    assert tokens.dtype == np.int64
    assert vocabulary.decode(tokens) == ["a cat", "a <UNK> cat", "<UNK>", ""]
    assert vocabulary.decode(torch.tensor([[START, 4, 5, END, 4], [END, 4, 4, 4, 4]])) == ["a cat", ""]
    assert vocabulary.encode([]).shape == (0, 0)


@pytest.mark.parametrize("words", [["a", "b"], [*SPECIAL, "a", "a"]])
def test_invalid_word_lists_are_rejected(words: list[str]) -> None:
    with pytest.raises(ValueError, match="no word twice"):
        Vocabulary(words)

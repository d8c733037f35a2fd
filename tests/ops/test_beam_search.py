"""Decoded phrases of a small network against torch's LSTM step by step, and against an exhaustive search."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from lit_cv.models.rcnn.language_model import LanguageModel
from lit_cv.ops.beam_search import State, beam_search, greedy_search
from lit_cv.ops.vocabulary import END, PADDING, SPECIAL, START

LONGEST, REGIONS, FEATURES = 4, 12, 6


def model(words: int, sharpness: float = 1.0, seed: int = 10) -> LanguageModel:
    """Return a network with outputs far from uniform, so that phrases of all lengths occur."""
    torch.manual_seed(seed)
    network = LanguageModel(FEATURES, len(SPECIAL) + words, embedding=5, hidden=7, dropout=0.0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.7)
    network.output.weight.data *= sharpness
    return network.eval()


def codes() -> Tensor:
    return torch.randn(REGIONS, FEATURES, generator=torch.Generator().manual_seed(1))


def log_probabilities(network: LanguageModel, code: Tensor, phrase: list[int]) -> Tensor:
    """Return the log-probabilities of all ids from ``END`` after a phrase, from torch's LSTM on the whole phrase."""
    inputs = torch.cat((network.encoder(code)[None], network.words(torch.tensor([START, *phrase]))))
    return network.output(network.lstm(inputs)[0][-1]).log_softmax(dim=0)


def padded(phrases: list[list[int]]) -> list[list[int]]:
    return [[*phrase, *[PADDING] * (LONGEST - len(phrase))] for phrase in phrases]


@torch.no_grad()
def test_greedy_phrases_match_torch_lstm_step_by_step() -> None:
    network = model(words=8)
    expected = []
    for code in codes():
        phrase: list[int] = []
        while len(phrase) < LONGEST:
            word = log_probabilities(network, code, phrase).argmax().item() + END
            if word == END:
                break
            phrase.append(word)
        expected.append(phrase)
    assert {0, LONGEST} < {len(phrase) for phrase in expected}  # empty, in between, and cut off
    assert network.write(codes(), LONGEST).tolist() == padded(expected)


@torch.no_grad()
def best_of_all(network: LanguageModel, code: Tensor, ids: range) -> list[int]:
    scores: dict[tuple[int, ...], float] = {}
    for length in range(LONGEST + 1):
        for phrase in product(ids, repeat=length):
            ended = [*phrase, END] if length < LONGEST else list(phrase)
            steps = [log_probabilities(network, code, list(phrase[:place])) for place in range(len(ended))]
            scores[phrase] = sum(step[word - END].item() for step, word in zip(steps, ended, strict=True))
    return list(max(scores, key=scores.__getitem__))


def test_a_wide_beam_finds_the_best_of_all_phrases() -> None:
    network = model(words=1, sharpness=3.0, seed=2)  # two words with <UNK>: 31 phrases
    expected = [best_of_all(network, code, range(END + 1, END + 3)) for code in codes()]
    assert network.write(codes(), LONGEST, beam=2**LONGEST).tolist() == padded(expected)
    assert network.write(codes(), LONGEST).tolist() != padded(expected)


def test_a_beam_of_one_is_greedy() -> None:
    table = torch.randn(REGIONS, 20, 20, generator=torch.Generator().manual_seed(2))
    table[..., 0] += 1.5  # makes <END> more frequent

    def step(words: Tensor, state: State) -> tuple[Tensor, State]:
        return table[state[0].long(), words, :18], state  # each region has its own transition table

    regions = (torch.arange(float(REGIONS)),)
    expected = greedy_search(step, regions, 9)
    assert torch.equal(beam_search(step, regions, 9, beam=1), expected)
    assert len(set((expected != PADDING).sum(dim=1).tolist())) > 2


@pytest.mark.parametrize("beam", [1, 3])
def test_phrase_of_a_region_does_not_depend_on_the_batch(beam: int) -> None:
    network = model(words=8)
    together = network.write(codes(), LONGEST, beam)
    for code, own in zip(codes(), together, strict=True):
        assert torch.equal(network.write(code[None], LONGEST, beam)[0], own)
    assert network.write(codes()[:0], LONGEST, beam).shape == (0, LONGEST)


def test_phrases_follow_the_weights() -> None:
    network = model(words=8)
    before = network.write(codes(), LONGEST)
    other = model(words=8, seed=5)
    network.load_state_dict(other.state_dict())
    after = network.write(codes(), LONGEST)
    assert torch.equal(after, other.write(codes(), LONGEST))
    assert not torch.equal(after, before)


def test_half_precision_changes_no_phrase() -> None:
    network = model(words=8)
    expected = network.write(codes(), LONGEST)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model(words=8).write(codes(), LONGEST), expected)

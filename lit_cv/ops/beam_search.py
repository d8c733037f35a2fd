"""Greedy and beam search decoding of phrases, word by word, for many regions at once."""

from collections.abc import Callable

import torch
from torch import Tensor

from lit_cv.ops.vocabulary import END, PADDING, START

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State], tuple[Tensor, State]]
"""One step of a recurrent network.

It takes the last words, int64 (M,), and the state, tensors of M rows. It returns logits (M, V) and the next state.
Column k of the logits belongs to the id ``END + k``, so padding and ``<START>`` are never written.
"""


def greedy_search(step: Step, state: State, longest: int) -> Tensor:
    """Append the most probable word until ``<END>``; finished phrases are dropped from the computation.

    Args:
        step: One step of the network.
        state: State of the network before ``<START>``, tensors of N rows.
        longest: Maximum number of words in a phrase, T.

    Returns:
        int64 (N, T), without ``<END>``, padded.
    """
    rows = torch.arange(len(state[0]), device=state[0].device)
    written = torch.full((len(rows), longest), PADDING, device=rows.device)
    words = torch.full_like(rows, START)
    for place in range(longest):
        logits, state = step(words, state)
        words = logits.argmax(dim=1) + END
        going = (words != END).nonzero()[:, 0]
        if len(going) < len(rows):
            rows, words, state = rows[going], words[going], _rows_of(state, going)
        written[rows, place] = words
        if not len(rows):
            break
    return written


def beam_search(step: Step, state: State, longest: int, beam: int) -> Tensor:
    """Find probable phrases, word by word: each step keeps the best ``beam`` continuations of the phrases so far.

    The score of a phrase is the sum of its words' log-probabilities, including ``<END>``, without length
    normalization. The score can only decrease, so a region is finished as soon as its best phrase has ended.

    Args:
        step: One step of the network.
        state: State of the network before ``<START>``, tensors of N rows.
        longest: Maximum number of words in a phrase, T. The score of a phrase cut off there has no ``<END>`` term.
        beam: Number of phrases kept for each region.

    Returns:
        int64 (N, T), the best phrase of each region, without ``<END>``, padded.
    """
    rows = torch.arange(len(state[0]), device=state[0].device)
    written = torch.full((len(rows), longest), PADDING, device=rows.device)
    phrases = written[:, None].repeat(1, beam, 1)
    words = torch.full_like(phrases[..., 0], START)
    scores = torch.full_like(words, -torch.inf, dtype=state[0].dtype)
    scores[:, 0] = 0  # before the first word there is one phrase
    state = _rows_of(state, rows.repeat_interleave(beam))
    for place in range(longest):
        logits, state = step(words.flatten(), state)
        parents, words, scores = _continue(logits.view(*words.shape, logits.shape[1]), words, scores)
        phrases = phrases.gather(1, parents[..., None].expand_as(phrases))
        phrases[..., place] = words
        written[rows] = phrases[:, 0]
        going = (words[:, 0] > END).nonzero()[:, 0]
        if not len(going):
            break
        state = _rows_of(
            state, (parents + beam * torch.arange(len(rows), device=rows.device)[:, None])[going].flatten()
        )
        rows, phrases, words, scores = rows[going], phrases[going], words[going], scores[going]
    return written.masked_fill(written == END, PADDING)


def _continue(logits: Tensor, words: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Choose the best continuations of N x B phrases.

    Args:
        logits: (N, B, V), see ``Step``.
        words: int64 (N, B), the last word of each phrase. A finished phrase continues with padding at no cost.
        scores: (N, B), scores of the phrases so far.

    Returns:
        Parent phrase of each continuation, int64 (N, B) in 0..B-1; its new word; and its score, in descending order.
    """
    beam = words.shape[1]
    best = logits.topk(min(beam, logits.shape[2]), dim=2)  # one phrase supplies at most ``beam`` of the best
    gains = best.values - logits.logsumexp(dim=2, keepdim=True)
    ended = ((words == END) | (words == PADDING))[..., None]
    stay = gains.new_full(gains.shape[2:], -torch.inf)
    stay[0] = 0
    gains = torch.where(ended, stay, gains)
    following = torch.where(ended, PADDING, best.indices + END)
    merged = (scores[..., None] + gains).flatten(1).topk(beam, dim=1)
    return merged.indices // gains.shape[2], following.flatten(1).gather(1, merged.indices), merged.values


def _rows_of(state: State, rows: Tensor) -> State:
    return tuple(part[rows] for part in state)

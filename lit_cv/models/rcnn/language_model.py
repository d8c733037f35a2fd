"""A recurrent network that writes the phrase of a region (DenseCap, Johnson et al. 2016, section 3.3)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_cv.models.layers.dropout import Dropout
from lit_cv.models.layers.tensor_cache import TensorCache, version_of
from lit_cv.ops.beam_search import State, Step, beam_search, greedy_search
from lit_cv.ops.global_batch import shared_count
from lit_cv.ops.vocabulary import END, PADDING, START


class LanguageModel(nn.Module):
    """An LSTM that predicts the next word. Its inputs are the code of the region, then ``<START>``, then the words.

    Args:
        features: Length D of a region's code.
        vocabulary_size: Number of ids, including the four special ones of ``lit_cv.ops.vocabulary``.
        embedding: Length of a word vector and of the encoded region code.
        hidden: Number of LSTM units.
        dropout: Dropout probability of the LSTM's output.
    """

    def __init__(self, features: int, vocabulary_size: int, embedding: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(features, embedding), nn.ReLU())
        self.words = nn.Embedding(vocabulary_size, embedding)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        # As in the released code, the biases of the forget gates are 1: words depend on a code many steps before them.
        _, _, first, second = self.lstm.parameters()
        nn.init.zeros_(first)
        nn.init.zeros_(second)
        nn.init.ones_(first[hidden : 2 * hidden])
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(hidden, vocabulary_size - END)  # padding and <START> are never predicted
        self._gates = TensorCache[Tensor](limit=1)

    def forward(self, codes: Tensor, tokens: Tensor) -> Tensor:
        """Compute the logits of the word after ``<START>`` and after each given word.

        Args:
            codes: (P, D).
            tokens: int64 (P, T), the first words of each phrase; T may be 0.

        Returns:
            float32 (P, T + 1, words); column k belongs to the id ``END + k``.
        """
        logits: Tensor = self.output(self._answers(codes, tokens)).float()
        return logits

    def _answers(self, codes: Tensor, tokens: Tensor) -> Tensor:
        """Return the LSTM's outputs after ``<START>`` and after each word of tokens (P, T), (P, T + 1, hidden)."""
        start = tokens.new_full((len(tokens), 1), START)
        inputs = torch.cat((self.encoder(codes)[:, None], self.words(torch.cat((start, tokens), dim=1))), dim=1)
        answers: Tensor = self.dropout(self.lstm(inputs)[0][:, 1:])  # no word is predicted before <START>
        return answers

    def loss(self, codes: Tensor, tokens: Tensor) -> Tensor:
        """Compute the mean cross-entropy of the words and of the ``<END>`` after each phrase, without the padding.

        Args:
            codes: (P, D), P may be 0.
            tokens: int64 (P, T), padded ids of the words.

        Returns:
            A float32 scalar, 0 if there is no phrase.
        """
        lengths = (tokens != PADDING).sum(dim=1, keepdim=True)
        targets = F.pad(tokens, (0, 1), value=PADDING).scatter(1, lengths, END)
        said = targets != PADDING
        logits = self.output(self._answers(codes, tokens)[said]).float()  # only for words, not for padding
        return F.cross_entropy(logits, targets[said] - END, reduction="sum") / shared_count(said)

    @torch.no_grad()
    def write(self, codes: Tensor, longest: int, beam: int = 1) -> Tensor:
        """Write the phrases of regions, in single precision: in bfloat16 too many words would be equally probable.

        Args:
            codes: (K, D).
            longest: Maximum number of words T.
            beam: 1 for greedy search, else see ``beam_search``.

        Returns:
            int64 (K, T), padded ids of the words.
        """
        with torch.autocast(codes.device.type, enabled=False):
            weight, _, first, second = (value.float() for value in self.lstm.parameters())
            inputs = self.encoder(codes.to(self.words.weight.dtype)).float()
            gates = F.linear(inputs, weight, first + second)
            state = _cell(gates, gates.new_zeros(len(codes), self.lstm.hidden_size))
            if beam == 1:
                return greedy_search(self._step(), state, longest)
            return beam_search(self._step(), state, longest, beam)

    def _step(self) -> Step:
        """Return a step of the LSTM that looks up the input gates of a word instead of computing them."""
        _, recurrent, _, _ = (value.float() for value in self.lstm.parameters())
        weight, bias = (value.float() for value in self.output.parameters())
        table = self._table()

        def step(words: Tensor, state: State) -> tuple[Tensor, State]:
            hidden, cell = state
            state = _cell(torch.addmm(table[words], hidden, recurrent.T), cell)
            return F.linear(state[0], weight, bias), state

        return step

    def _table(self) -> Tensor:
        """Return the input gates of each word, (V, 4 hidden), computed once for the current weights."""
        weight, _, first, second = self.lstm.parameters()
        words = self.words.weight
        key = version_of((words, weight, first, second))
        return self._gates.get(key, lambda: F.linear(words.float(), weight.float(), (first + second).float()))


def _cell(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Return the next hidden state and cell, (N, H), of an LSTM from its gates (N, 4 H) in PyTorch's order."""
    enter, keep, new, leave = gates.chunk(4, dim=1)
    cell = keep.sigmoid() * cell + enter.sigmoid() * new.tanh()
    return leave.sigmoid() * cell.tanh(), cell

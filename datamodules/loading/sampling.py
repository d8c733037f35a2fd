"""The order of the samples, and the random stream of each one.

Everything here is a pure function of (seed, epoch, index): a run gets the same samples for any number of workers and
processes, and after a resume.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from lit_cv.errors import UserError

LARGEST_EVALUATED = 8  # images of an evaluation batch, which must fit on one device for any global batch size

Key = tuple[int, int]
"""(epoch, index): a sampler yields it, and a data set takes it."""


def sample_seed(seed: int, epoch: int, index: int) -> int:
    """Return the seed of the random stream of one sample in one epoch.

    Args:
        seed: Seed of the run, >= 0.
        epoch: Epoch, >= 0.
        index: Index of the sample in its data set, >= 0.

    Returns:
        A well-mixed integer in [0, 2**32).
    """
    return int(np.random.SeedSequence((seed, epoch, index)).generate_state(1)[0])


def derangement(size: int, seed: int) -> NDArray[np.int64]:
    """Return a random permutation of ``range(size)`` that is one cycle, so that no element stays in place.

    Args:
        size: Number of elements, >= 2.
        seed: Seed, >= 0.

    Returns:
        int64 (size,); element i is never i.

    Raises:
        UserError: If there are fewer than two elements.
    """
    if size < 2:
        raise UserError("Shuffled targets need at least two training images: choose a larger set in train_sets.")
    cycle = np.random.default_rng((seed, size)).permutation(size)
    partner = np.empty(size, dtype=np.int64)
    partner[cycle] = np.roll(cycle, 1)
    return partner


class TrainBatches(Sampler[list[Key]]):
    """Shuffled batches: one permutation per epoch, cut into global batches; each rank takes its slice of every batch.

    The last, incomplete batch of an epoch is dropped. ``start`` is the first batch of the next pass (after a resume).

    Args:
        size: Number of samples.
        batch_size: Samples of a global batch, over all ranks.
        seed: Seed of the permutations, >= 0.
        rank: This process, in [0, world_size).
        world_size: Number of processes.

    Raises:
        UserError: If the batch size is no multiple of the number of ranks, or exceeds the number of samples.
    """

    def __init__(self, size: int, batch_size: int, seed: int, rank: int = 0, world_size: int = 1) -> None:
        if size < batch_size:
            raise UserError(
                f"The training set has {size} images, fewer than batch_size={batch_size}: lower batch_size."
            )
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.share = slice(rank * per_rank(batch_size, world_size), (rank + 1) * per_rank(batch_size, world_size))
        self.epoch = 0
        self.start = 0
        self.sampler = self  # where Lightning looks for set_epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation of the next pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size // self.batch_size

    def __iter__(self) -> Iterator[list[Key]]:
        epoch = self.epoch
        order = np.random.default_rng((self.seed, epoch)).permutation(self.size)
        for batch in range(self.start, len(self)):
            indices = order[batch * self.batch_size : (batch + 1) * self.batch_size][self.share]
            yield [(epoch, index) for index in indices.tolist()]


class EvalBatches(Sampler[list[Key]]):
    """Batches in order: rank r of W takes batches r, r + W, r + 2W, ...; nothing is padded, repeated or dropped.

    The batches are the same for any number of ranks. So are values that depend on the other images of a batch, such as
    the padding of an image and losses. A rank without batches gets an empty one, because all ranks must take part.

    The other arguments are those of :class:`TrainBatches`.

    Args:
        batch_size: Samples of a global training batch; an evaluation batch has min(batch_size, ``LARGEST_EVALUATED``).
        first: Index of the first sample.
    """

    def __init__(self, size: int, batch_size: int, rank: int = 0, world_size: int = 1, first: int = 0) -> None:
        step = min(per_rank(batch_size, 1), LARGEST_EVALUATED)
        batches = [range(start, min(start + step, size)) for start in range(first, size, step)]
        self.batches = batches[rank::world_size] or [range(0)]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Key]]:
        for batch in self.batches:
            yield [(0, index) for index in batch]


def per_rank(batch_size: int, world_size: int) -> int:
    """Return the number of samples that each rank takes of a global batch.

    Raises:
        UserError: If the batch size is not a positive multiple of the number of ranks.
    """
    if batch_size < 1 or batch_size % world_size:
        raise UserError(
            f"batch_size={batch_size} is the global batch and must be a positive multiple of the {world_size} "
            f"processes: set it to {max(1, round(batch_size / world_size)) * world_size}."
        )
    return batch_size // world_size

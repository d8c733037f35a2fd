from itertools import chain

import numpy as np
import pytest

from datamodules.loading.sampling import EvalBatches, TrainBatches, derangement, sample_seed
from lit_cv.errors import UserError


def test_sample_seeds_are_32_bit_and_distinct() -> None:
    seeds = [sample_seed(s, e, i) for s in range(3) for e in range(10) for i in range(1000)]
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert len(set(seeds)) > len(seeds) - 5  # 30,000 of 2**32: 0.1 collisions expected
    bits = np.unpackbits(np.array(seeds, dtype=np.uint32).view(np.uint8).reshape(-1, 4), axis=1)
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.02


@pytest.mark.parametrize("size", [2, 3, 10, 1001])
def test_derangement_moves_every_element(size: int) -> None:
    partner = derangement(size, seed=5)
    assert sorted(partner) == list(range(size))
    assert (partner != np.arange(size)).all()
    assert (partner == derangement(size, seed=5)).all()


def test_derangement_of_one_is_refused() -> None:
    with pytest.raises(UserError, match="train_sets"):
        derangement(1, seed=0)


def test_train_epoch_visits_every_sample_at_most_once_and_epochs_differ() -> None:
    batches = TrainBatches(size=23, batch_size=4, seed=7)
    first = list(batches)
    batches.set_epoch(1)
    second = list(batches)
    assert len(first) == len(second) == len(batches) == 5
    for epoch, batch in enumerate((first, second)):
        keys = [key for keys in batch for key in keys]
        assert len({index for _, index in keys}) == 20
        assert {e for e, _ in keys} == {epoch}
    assert [[i for _, i in keys] for keys in first] != [[i for _, i in keys] for keys in second]
    batches.set_epoch(0)
    assert list(batches) == first
    assert list(TrainBatches(size=23, batch_size=4, seed=8)) != first


@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_share_the_same_global_batches(world_size: int) -> None:
    whole = list(TrainBatches(23, 4, seed=7))
    ranks = [list(TrainBatches(23, 4, seed=7, rank=rank, world_size=world_size)) for rank in range(world_size)]
    assert [list(chain(*parts)) for parts in zip(*ranks, strict=True)] == whole


def test_training_set_smaller_than_a_batch_is_refused() -> None:
    with pytest.raises(UserError, match="3 images, fewer than batch_size=4"):
        TrainBatches(3, 4, seed=0)


def test_batch_that_does_not_divide_by_the_ranks_is_refused() -> None:
    with pytest.raises(UserError, match=r"batch_size=5 .* 2 processes: set it to 4"):
        TrainBatches(23, 5, seed=0, world_size=2)


@pytest.mark.parametrize(("size", "world_size"), [(7, 1), (7, 2), (8, 3), (2, 3)])
def test_evaluation_batches_are_the_same_for_any_number_of_ranks(size: int, world_size: int) -> None:
    whole = list(EvalBatches(size, 2))
    assert [index for batch in whole for _, index in batch] == list(range(size))
    assert all(1 <= len(batch) <= 2 for batch in whole)
    shards = [EvalBatches(size, 2, rank, world_size) for rank in range(world_size)]
    for rank, shard in enumerate(shards):
        assert list(shard) == (whole[rank::world_size] or [[]])
        assert len(list(shard)) == len(shard)


def test_evaluation_batches_are_small_for_any_global_batch_and_start_anywhere() -> None:
    assert [len(batch) for batch in EvalBatches(20, 512)] == [8, 8, 4]
    assert next(iter(EvalBatches(20, 4, first=6))) == [(0, 6), (0, 7), (0, 8), (0, 9)]

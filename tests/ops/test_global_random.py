import torch

from lit_cv.ops.global_random import uniform

CPU = torch.device("cpu")


def sampled(shape: tuple[int, ...], first_row: int = 0, seed: int = 1) -> torch.Tensor:
    torch.manual_seed(seed)
    return uniform(shape, CPU, first_row)


def test_a_number_depends_only_on_key_row_and_column() -> None:
    whole = sampled((6, 7, 3))
    assert torch.equal(sampled((2, 7, 3), first_row=4), whole[4:])
    assert torch.equal(sampled((6, 4, 3)), whole[:, :4])
    assert not torch.equal(sampled((6, 7, 3), seed=2), whole)
    torch.manual_seed(1)
    assert not torch.equal(uniform((6, 5), CPU), uniform((6, 5), CPU))


def test_numbers_are_uniform_and_independent() -> None:
    numbers = sampled((64, 20_000))
    assert numbers.dtype == torch.float64
    assert 0 <= numbers.min() < 1e-5
    assert 1 - 1e-5 < numbers.max() < 1
    counts = torch.histc(numbers.float(), 256, 0, 1)
    chi_square = ((counts - 5000).square() / 5000).sum().item()
    assert 150 < chi_square < 380  # 255 +- 23
    for other in (numbers.roll(1, 0), numbers.roll(1, 1), numbers.roll(97, 1)):
        correlation = ((numbers - 0.5) * (other - 0.5)).mean().item() * 12
        assert abs(correlation) < 5 / numbers.numel() ** 0.5
    bits = (numbers * 2**53).long()
    shares = torch.stack([(bits >> bit & 1).double().mean() for bit in range(53)])
    assert (shares - 0.5).abs().max() < 5 * 0.5 / numbers.numel() ** 0.5
    assert len(numbers.unique()) == numbers.numel()

"""SVM and ridge regression against other solvers, and hard negative mining against training on everything."""

import copy

import numpy as np
import pytest
import torch
from scipy.optimize import LinearConstraint, minimize

from lit_cv.callbacks.rcnn_stages.hard_negatives import HardNegativeMining
from lit_cv.callbacks.rcnn_stages.linear_models import solve_ridge, solve_svm

COST, POSITIVE_WEIGHT, BIAS = 0.05, 2.0, 10.0


def samples(count: int, width: int, positives: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    positive = np.arange(count) < positives
    features = generator.normal(size=(count, width)) + 0.8 * positive[:, None]
    return features.astype(np.float32), positive


def objective(weight: np.ndarray, bias: float, features: np.ndarray, positive: np.ndarray, cost: float) -> float:
    scores = features.astype(np.float64) @ weight + bias
    hinge = np.where(positive, POSITIVE_WEIGHT * np.maximum(0, 1 - scores), np.maximum(0, 1 + scores))
    return float(0.5 * weight @ weight + 0.5 * (bias / BIAS) ** 2 + cost * hinge.sum())


def test_svm_is_the_optimum_of_the_published_objective() -> None:
    features, positive = samples(60, 4, 15)
    svm = solve_svm(features, positive, COST, tolerance=1e-9)
    found = objective(svm.weight, svm.bias, features, positive, COST)
    # As a quadratic program in w, b and a slack for each sample.
    signs, count = np.where(positive, 1.0, -1.0), len(features)
    penalties = np.where(positive, POSITIVE_WEIGHT, 1.0) * COST
    rows = np.hstack([signs[:, None] * features, signs[:, None], np.eye(count)])
    program = minimize(
        lambda x: 0.5 * x[:4] @ x[:4] + 0.5 * (x[4] / BIAS) ** 2 + penalties @ x[5:],
        np.concatenate([np.zeros(5), np.ones(count)]),
        jac=lambda x: np.concatenate([x[:4], [x[4] / BIAS**2], penalties]),
        constraints=[LinearConstraint(rows, 1, np.inf)],
        bounds=[(None, None)] * 5 + [(0, None)] * count,
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},
    )
    assert program.success
    assert found == pytest.approx(program.fun, rel=1e-6)
    np.testing.assert_allclose(svm.weight, program.x[:4], atol=1e-4)
    assert svm.bias == pytest.approx(program.x[4], abs=1e-4)


def test_svm_of_two_samples_by_hand() -> None:
    # Samples 1 and -1, with a negligible bias: the dual is min 0.5 (a + c)^2 - (a + c) with a <= 2C, c <= C.
    features, positive = np.array([[1.0], [-1.0]], dtype=np.float32), np.array([True, False])
    svm = solve_svm(features, positive, cost=0.1, bias_feature=1e-6, tolerance=1e-12)
    np.testing.assert_allclose(svm.alphas, [0.2, 0.1])
    assert svm.weight[0] == pytest.approx(0.3)
    svm = solve_svm(features, positive, cost=10.0, bias_feature=1e-6, tolerance=1e-12)
    assert svm.weight[0] == pytest.approx(1)  # both margins are met exactly


def test_svm_continues_from_its_multipliers_to_the_same_optimum() -> None:
    features, positive = samples(80, 6, 20)
    whole = solve_svm(features, positive, COST, tolerance=1e-10)
    again = solve_svm(features, positive, COST, alphas=whole.alphas, max_sweeps=1)
    np.testing.assert_allclose(again.weight, whole.weight, atol=1e-8)
    part = solve_svm(features[:50], positive[:50], COST)
    later = solve_svm(features, positive, COST, alphas=np.append(part.alphas, np.zeros(30)), tolerance=1e-10)
    np.testing.assert_allclose(later.weight, whole.weight, atol=1e-6)


def mining_set() -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
    """Return the features of 3,000 samples, the classes (of three) whose negatives they are, and the positives."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 40, (3000,), generator=generator)
    features = 2 * torch.randn(3000, 24, generator=generator)
    features[labels == 1, :6] += 3
    features[labels == 2, 6:12] += 3
    negative = torch.stack([labels != 1, labels != 2, labels != 99], dim=1)
    negative[::50] = False  # ignored: neither positive nor negative
    positives = [((labels == label) & (torch.arange(3000) % 50 > 0)).nonzero()[:, 0] for label in (1, 2, 99)]
    return features, negative, positives


def mine(mining: HardNegativeMining, features: torch.Tensor, negative: torch.Tensor, passes: int) -> None:
    for _ in range(passes):
        mining.added = 0
        for rows in torch.arange(len(features)).split(250):
            mining.show(rows, features[rows], negative[rows])
        mining.finish()


def test_hard_negative_mining_ends_with_the_svm_of_all_negatives() -> None:
    features, negative, positives = mining_set()
    mining = HardNegativeMining(positives, lambda rows: features[rows], 24, retrain=100)
    mine(mining, features, negative, passes=1)
    once = mining.weights.clone()
    mine(mining, features, negative, passes=5)
    assert mining.added == 0
    for index in range(2):
        rows = torch.cat((positives[index], negative[:, index].nonzero()[:, 0]))
        whole = solve_svm(features[rows].numpy(), np.arange(len(rows)) < len(positives[index]))
        np.testing.assert_allclose(mining.weights[index], whole.weight, atol=2e-4)
        assert float(mining.biases[index]) == pytest.approx(whole.bias, abs=2e-3)
        assert len(mining.negatives[index]) < negative[:, index].sum() / 2  # easy negatives were left out
        assert not torch.isin(mining.negatives[index], (~negative[:, index]).nonzero()[:, 0]).any()
    assert (once - mining.weights).abs().max() < 0.1 * mining.weights.abs().max()  # one pass is nearly enough
    assert not mining.weights[2].any()  # a class without positives has no SVM
    assert len(mining.negatives[2]) == 0


def test_mining_continues_from_a_saved_state_and_ends_bit_identical() -> None:
    features, negative, positives = mining_set()
    straight = HardNegativeMining(positives, lambda rows: features[rows], 24, retrain=100)
    mine(straight, features, negative, passes=1)
    first = HardNegativeMining(positives, lambda rows: features[rows], 24, retrain=100)
    blocks = torch.arange(len(features)).split(250)
    for rows in blocks[:5]:
        first.show(rows, features[rows], negative[rows])
    second = HardNegativeMining(positives, lambda rows: features[rows], 24, retrain=100)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for rows in blocks[5:]:
        second.show(rows, features[rows], negative[rows])
    second.finish()
    assert torch.equal(second.weights, straight.weights)
    assert torch.equal(second.biases, straight.biases)


@pytest.mark.parametrize("count", [5, 12, 40])  # fewer samples than features, equally many, more
def test_ridge_equals_the_closed_form(count: int) -> None:
    generator = torch.Generator().manual_seed(2)
    features, targets = torch.randn(count, 12, generator=generator), torch.randn(count, 4, generator=generator)
    weight, bias = solve_ridge(features.split(7), targets, 12, penalty=3.0)
    design = np.hstack([features.double().numpy(), np.ones((count, 1))])
    mean = targets.double().numpy().mean(axis=0)
    centered = targets.double().numpy() - mean
    wanted = np.linalg.inv(design.T @ design + 3.0 * np.eye(13)) @ design.T @ centered
    np.testing.assert_allclose(weight.T, wanted[:-1], atol=1e-10)
    np.testing.assert_allclose(bias, wanted[-1] + mean, atol=1e-10)

"""Linear models on fixed features, solved to their optimum: a support vector machine and ridge regression."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lit_cv.ops.compiled import compiled

Features = NDArray[np.float32]
Vector = NDArray[np.float64]


class SVM(NamedTuple):
    """A linear classifier and its multipliers.

    Attributes:
        weight: float64 (D,).
        bias: The score of a sample x is ``weight @ x + bias``.
        alphas: float64 (N,), one per sample; 0 for samples beyond their margin.
    """

    weight: Vector
    bias: float
    alphas: Vector


def solve_svm(
    features: Features,
    positive: NDArray[np.bool_],
    cost: float = 1e-3,
    positive_weight: float = 2.0,
    bias_feature: float = 10.0,
    alphas: Vector | None = None,
    tolerance: float = 1e-3,
    max_sweeps: int = 1000,
) -> SVM:
    """Train a linear SVM on the plain hinge loss by dual coordinate descent (Hsieh et al. 2008, algorithm 1).

    It minimizes ``0.5 |w|^2 + 0.5 (b / bias_feature)^2 + cost * (positive_weight * sum of max(0, 1 - s) over the
    positives + sum of max(0, 1 + s) over the negatives)`` with the scores ``s = w @ x + b``. The defaults are those of
    the published R-CNN code. The same input gives the same bits on the same machine.

    Args:
        features: float32 (N, D), contiguous.
        positive: bool (N,).
        cost: C, > 0.
        positive_weight: Weight of a positive relative to a negative.
        bias_feature: Constant that is an additional feature of every sample; a larger one penalizes the bias less.
        alphas: Initial multipliers, float64 (N,); default 0.
        tolerance: Largest error of a margin at the end.
        max_sweeps: Maximum number of sweeps over the samples.
    """
    signs = np.where(positive, 1.0, -1.0)
    limits = np.where(positive, cost * positive_weight, cost)
    alphas = np.zeros(len(features)) if alphas is None else alphas.copy()
    weights = np.append((alphas * signs) @ features, (alphas * signs).sum() * bias_feature)
    squares = np.einsum("nd,nd->n", features, features, dtype=np.float64) + bias_feature**2
    generator = np.random.default_rng(0)
    for _ in range(max_sweeps):
        order = generator.permutation(len(features))
        if _sweep(features, signs, limits, squares, order, alphas, weights, bias_feature) < tolerance:
            break
    return SVM(weights[:-1], float(weights[-1] * bias_feature), alphas)


@compiled
def _sweep(
    features: Features,
    signs: Vector,
    limits: Vector,
    squares: Vector,
    order: NDArray[np.int64],
    alphas: Vector,
    weights: Vector,
    bias_feature: float,
) -> float:
    """Set each multiplier to its best value, given the others; return the largest violation of optimality met."""
    width, worst = features.shape[1], 0.0
    for row in order:
        score = weights[width] * bias_feature
        for column in range(width):
            score += weights[column] * features[row, column]
        gradient = signs[row] * score - 1
        violation = gradient
        if alphas[row] <= 0:
            violation = min(gradient, 0.0)
        elif alphas[row] >= limits[row]:
            violation = max(gradient, 0.0)
        worst = max(worst, abs(violation))
        if violation != 0:
            new = min(max(alphas[row] - gradient / squares[row], 0.0), limits[row])
            step = (new - alphas[row]) * signs[row]
            alphas[row] = new
            for column in range(width):
                weights[column] += step * features[row, column]
            weights[width] += step * bias_feature
    return worst


def solve_ridge(features: Iterable[Tensor], targets: Tensor, width: int, penalty: float) -> tuple[Tensor, Tensor]:
    """Solve ``min |t - W x - b|^2 + penalty * |W|^2`` for each column of the targets (Girshick et al. 2014, eq. 5).

    As in the published code the targets are centered first, and the bias is the weight of a constant feature 1, so that
    its deviation from the mean of the targets is penalized too.

    Args:
        features: Blocks, float32 (n, D) each, (N, D) in total, N > 0; read once, in order.
        targets: (N, T).
        width: D.
        penalty: lambda, > 0.

    Returns:
        W, float64 (T, D), and b, float64 (T,).
    """
    mean = targets.double().mean(dim=0)
    goals = targets.double() - mean
    samples = (functional.pad(part.double(), (0, 1), value=1.0) for part in features)
    if len(targets) <= width:  # the smaller of two systems with the same solution
        rows = torch.cat(list(samples))
        solution = rows.T @ _solve(rows @ rows.T, goals, penalty)
    else:
        gram, moment = goals.new_zeros(width + 1, width + 1), goals.new_zeros(width + 1, goals.shape[1])
        start = 0
        for rows in samples:
            gram.addmm_(rows.T, rows)
            moment.addmm_(rows.T, goals[start : start + len(rows)])
            start += len(rows)
        solution = _solve(gram, moment, penalty)
    return solution[:-1].T, solution[-1] + mean


def _solve(gram: Tensor, right: Tensor, penalty: float) -> Tensor:
    gram.diagonal().add_(penalty)
    return torch.cholesky_solve(right, torch.linalg.cholesky(gram))

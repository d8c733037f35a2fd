"""Training of one linear SVM per class on more samples than fit into memory (Girshick et al. 2014, section 2.3)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lit_cv.callbacks.rcnn_stages.linear_models import solve_svm

HARD = -1.0001  # negatives with a higher score are added to the training set of the class ...
EASY = -1.2  # ... and those with a lower one leave it; the thresholds of the published code
RETRAIN = 2000  # number of added negatives after which an SVM is trained again


class HardNegativeMining:
    """SVMs that see all samples block by block and are trained on the negatives that they classify wrongly.

    The training set of a class starts with all its positives. As soon as no block adds a negative, an SVM equals the
    SVM of all samples: the samples left out do not affect the optimum.

    Args:
        positives: int64 rows of the positives of each class.
        read: Maps rows int64 (n,) to their features, float32 (n, D).
        width: D.
        retrain: Number of added negatives after which a class is trained again.

    Attributes:
        added: Number of negatives added to all classes since the last reset to 0.
    """

    def __init__(
        self, positives: list[Tensor], read: Callable[[Tensor], Tensor], width: int, retrain: int = RETRAIN
    ) -> None:
        self.positives, self.read, self.retrain = positives, read, retrain
        self.weights = torch.zeros(len(positives), width, dtype=torch.float64)
        self.biases = torch.zeros(len(positives), dtype=torch.float64)
        self.negatives = [torch.zeros(0, dtype=torch.int64) for _ in positives]
        self.alphas = [torch.zeros(len(rows), dtype=torch.float64) for rows in positives]
        self.waiting = [len(rows) for rows in positives]  # samples not yet trained on
        self.trained = [False] * len(positives)
        self.added = 0

    def show(self, rows: Tensor, features: Tensor, negative: Tensor) -> None:
        """Add the hard negatives of a block, and train the classes with ``retrain`` new negatives.

        Args:
            rows: int64 (n,).
            features: Their features, float32 (n, D).
            negative: bool (n, C), true if the row is a negative of the class.
        """
        scores = features @ self.weights.float().T + self.biases.float()
        hard = negative & (scores > HARD)
        for index, trained in enumerate(self.trained):
            if not len(self.positives[index]):
                continue
            found = rows[hard[:, index]]
            found = found[torch.isin(found, self.negatives[index], invert=True)]
            self.negatives[index] = torch.cat((self.negatives[index], found))
            self.alphas[index] = torch.cat((self.alphas[index], torch.zeros(len(found), dtype=torch.float64)))
            self.waiting[index] += len(found)
            self.added += len(found)
            if (not trained and len(found)) or self.waiting[index] > self.retrain:
                self._train(index)

    def finish(self) -> None:
        """Train the classes that have samples not yet trained on."""
        for index, waiting in enumerate(self.waiting):
            if waiting:
                self._train(index)

    def _train(self, index: int) -> None:
        rows = torch.cat((self.positives[index], self.negatives[index]))
        features = self.read(rows).numpy()
        positive = np.arange(len(rows)) < len(self.positives[index])
        svm = solve_svm(features, positive, alphas=self.alphas[index].numpy())
        self.weights[index] = torch.from_numpy(svm.weight)
        self.biases[index] = svm.bias
        self.waiting[index], self.trained[index] = 0, True
        # A negative with a multiplier stays in any case, so that the multipliers still give the weights.
        kept = positive | (features @ svm.weight + svm.bias >= EASY) | (svm.alphas > 0)
        self.alphas[index] = torch.from_numpy(svm.alphas[kept])
        self.negatives[index] = rows[torch.from_numpy(kept & ~positive)]

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state as tensors and plain data."""
        return {name: value for name, value in vars(self).items() if name not in ("positives", "read", "retrain")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state, bit for bit."""
        vars(self).update(state)

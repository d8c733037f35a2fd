"""Training of one linear SVM per class on more samples than fit into memory (Girshick et al. 2014, section 2.3)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lit_cv.callbacks.rcnn_stages.linear_models import solve_svm

HARD = -1.0001  # negatives with a higher score are added to the training set of the class ...
EASY = -1.2  # ... and those with a lower one leave it; the thresholds of the published code
RETRAIN = 2000  # an SVM is trained anew when so many negatives were added


class HardNegativeMining:
    """SVMs that are shown all samples block by block and trained on the negatives that they get wrong.

    The training set of a class begins with all its positives. Where no block adds a negative any more, an SVM is the
    one of all samples: those left out have no part in the optimum.

    Args:
        positives: int64 rows of the positives of each class.
        read: Rows int64 (n,) -> their features, float32 (n, D).
        width: D.
        retrain: Negatives added to a class until it is trained anew.

    Attributes:
        added: Negatives added to all classes since it was last set to 0.
    """

    def __init__(
        self, positives: list[Tensor], read: Callable[[Tensor], Tensor], width: int, retrain: int = RETRAIN
    ) -> None:
        self.positives, self.read, self.retrain = positives, read, retrain
        self.weights = torch.zeros(len(positives), width, dtype=torch.float64)
        self.biases = torch.zeros(len(positives), dtype=torch.float64)
        self.negatives = [torch.zeros(0, dtype=torch.int64) for _ in positives]
        self.alphas = [torch.zeros(len(rows), dtype=torch.float64) for rows in positives]
        self.waiting = [len(rows) for rows in positives]  # samples that the SVM was not trained with
        self.trained = [False] * len(positives)
        self.added = 0

    def show(self, rows: Tensor, features: Tensor, negative: Tensor) -> None:
        """Add the hard negatives of a block, and train the classes that have waited long enough.

        Args:
            rows: int64 (n,).
            features: float32 (n, D), theirs.
            negative: bool (n, C): of which classes they are negatives.
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
        """Train the classes that have samples which they were not trained with."""
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
        # A negative with a multiplier stays whatever its score, so that the multipliers still make up the weights.
        kept = positive | (features @ svm.weight + svm.bias >= EASY) | (svm.alphas > 0)
        self.alphas[index] = torch.from_numpy(svm.alphas[kept])
        self.negatives[index] = rows[torch.from_numpy(kept & ~positive)]

    def state_dict(self) -> dict[str, Any]:
        """Return all that changes, as tensors and plain data."""
        return {name: value for name, value in vars(self).items() if name not in ("positives", "read", "retrain")}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state, to the same bits."""
        vars(self).update(state)

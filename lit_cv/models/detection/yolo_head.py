"""The layers of YOLO (Redmon et al. 2016) after the backbone."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, cast

from torch import Tensor, nn

from lit_cv.models.backbones.darknet import SLOPE, convolution
from lit_cv.models.layers.dropout import Dropout

YOLOHead = Literal["fully_connected", "convolutional"]
OUTPUT_DEVIATION = 0.01  # standard deviation of the initial weights of the output layer


def added_convolutions(channels: int, widths: Sequence[int], halvings: int, batch_norm: bool) -> nn.Sequential:
    """Build 3x3 convolutions after the backbone (section 2.2); from the second on, ``halvings`` have stride 2."""
    layers = [
        convolution(before, after, 3, 2 if 1 <= place <= halvings else 1, batch_norm)
        for place, (before, after) in enumerate(pairwise((channels, *widths)))
    ]
    return nn.Sequential(*layers)


class GridHead(nn.Module):
    """The last layers, which compute the predictions of each cell of the grid.

    Args:
        head: ``fully_connected``: one hidden layer over the whole map, as in the paper. ``convolutional``: a 1x1
            convolution.
        channels: Channels of the map.
        grid: Cells along each side of the map.
        hidden: Width of the hidden layer of ``fully_connected``.
        dropout: Dropout probability of the hidden layer of ``fully_connected``, in [0, 1).
        starts: Initial biases of a cell's outputs. Up to small random numbers, every cell predicts these at first.
    """

    def __init__(
        self, head: YOLOHead, channels: int, grid: int, hidden: int, dropout: float, starts: Sequence[float]
    ) -> None:
        super().__init__()
        self.cells, self.outputs = grid**2, len(starts)
        last: nn.Linear | nn.Conv2d
        if head == "fully_connected":
            first, last = nn.Linear(channels * self.cells, hidden), nn.Linear(hidden, self.cells * self.outputs)
            nn.init.kaiming_normal_(first.weight, a=SLOPE)
            nn.init.zeros_(first.bias)
            activation = nn.LeakyReLU(SLOPE, inplace=True)
            self.layers = nn.Sequential(nn.Flatten(), first, activation, Dropout(dropout), last)
        else:
            last = nn.Conv2d(channels, self.outputs, 1)
            self.layers = nn.Sequential(last, nn.Flatten(2))
        nn.init.normal_(last.weight, std=OUTPUT_DEVIATION)
        bias = cast(Tensor, last.bias).data
        bias.copy_(bias.new_tensor(starts).repeat(len(bias) // self.outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, C, S, S) to (B, S * S, outputs), row by row."""
        output: Tensor = self.layers(features)
        if output.dim() == 3:
            return output.transpose(1, 2)
        return output.view(len(output), self.cells, self.outputs)

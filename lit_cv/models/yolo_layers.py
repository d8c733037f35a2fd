"""The layers of YOLO (Redmon et al. 2016): its own backbones, and what it puts on top of any backbone."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, cast

from torch import Tensor, nn

from lit_cv.models.dropout import Dropout

YOLOHead = Literal["fully_connected", "convolutional"]
SLOPE = 0.1  # of the leaky ReLU (eq. 2)
OUTPUT_DEVIATION = 0.01  # of the initial weights of the last layer

# The first 20 convolutions of figure 3, as (kernel, width), with a 2x2 max pooling between two groups. The very first
# has stride 2.
YOLO_LAYOUT = (
    ((7, 64),),
    ((3, 192),),
    ((1, 128), (3, 256), (1, 256), (3, 512)),
    (*((1, 256), (3, 512)) * 4, (1, 512), (3, 1024)),
    ((1, 512), (3, 1024)) * 2,
)
FAST_YOLO_WIDTHS = (16, 32, 64, 128, 256, 512)


def yolo_layers(batch_norm: bool) -> nn.Sequential:
    """Build the 20 convolutions that the paper trains for classification first, to stride 32 (figure 3)."""
    layers: list[nn.Module] = []
    before = 3
    for group in YOLO_LAYOUT:
        for kernel, after in group:
            layers.append(convolution(before, after, kernel, 1 if layers else 2, batch_norm))
            before = after
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers[:-1])


def fast_yolo_layers(batch_norm: bool) -> nn.Sequential:
    """Build the first six of Fast YOLO's nine convolutions, each with a pooling, to stride 64 (as in darknet)."""
    layers: list[nn.Module] = []
    for before, after in pairwise((3, *FAST_YOLO_WIDTHS)):
        layers += [convolution(before, after, 3, 1, batch_norm), nn.MaxPool2d(2)]
    return nn.Sequential(*layers)


def convolution(before: int, after: int, kernel: int, stride: int, batch_norm: bool) -> nn.Sequential:
    """Build a padded convolution with the leaky ReLU of eq. 2, and batch norm between them if asked for."""
    layer = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=not batch_norm)
    nn.init.kaiming_normal_(layer.weight, a=SLOPE)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    norm = [nn.BatchNorm2d(after)] if batch_norm else []
    return nn.Sequential(layer, *norm, nn.LeakyReLU(SLOPE, inplace=True))


def added_convolutions(channels: int, widths: Sequence[int], halvings: int, batch_norm: bool) -> nn.Sequential:
    """Build the 3x3 convolutions after the backbone (section 2.2); the second, and so many after it, have stride 2."""
    layers = [
        convolution(before, after, 3, 2 if 1 <= place <= halvings else 1, batch_norm)
        for place, (before, after) in enumerate(pairwise((channels, *widths)))
    ]
    return nn.Sequential(*layers)


class GridHead(nn.Module):
    """The last layers: what each cell of the grid predicts.

    Args:
        head: ``fully_connected``: one hidden layer over the whole map, as in the paper; ``convolutional``: a 1x1
            convolution.
        channels: Of the map.
        grid: Cells of each side of the map.
        hidden: Width of the hidden layer of ``fully_connected``.
        dropout: Probability in [0, 1), after the hidden layer of ``fully_connected``.
        starts: The biases of a cell's outputs: what every cell predicts at first, up to small random numbers.
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

"""The end of a classification network on warped regions: pool5, and fc6 and fc7 where the network has them."""

from torch import Tensor, nn

from lit_cv.models.backbones import VGG_LAYOUTS, Trunk, load_weights, read_weights
from lit_cv.models.dropout import Dropout

FEATURES = 4096  # of fc6 and fc7
CELLS = 3  # height and width of pool5 of a network without fully connected layers


class WindowHead(nn.Module):
    """Turns the last map of a region into vectors, one a layer.

    ``pool5`` of AlexNet and of a plain VGG is their last pooling, ``fc6`` and ``fc7`` follow with their weights; maps
    of other than the usual size are averaged to it, as torchvision does. Of other networks there is ``pool5`` alone:
    the last map averaged to 3 x 3.

    Args:
        trunk: The network before it.
        weights: As of the backbone: ``imagenet``, the path of a state dict, or None.

    Attributes:
        lengths: Layer -> length of its vector, first layer first.
        last: The last layer.

    Raises:
        UserError: The weights do not fit.
    """

    def __init__(self, trunk: Trunk, weights: str | None) -> None:
        super().__init__()
        channels = trunk.stages[-1].channels
        pool: nn.Module = nn.Identity()
        cells = CELLS
        places: tuple[int, ...] = ()
        if trunk.name == "alexnet":
            cells, pool, places = 6, nn.MaxPool2d(3, 2), (1, 4)
        elif trunk.name in VGG_LAYOUTS:
            cells, pool, places = 7, nn.MaxPool2d(2, 2), (0, 3)
        self.pool5 = nn.Sequential(pool, nn.AdaptiveAvgPool2d(cells), nn.Flatten())
        self.lengths = {"pool5": channels * cells**2}
        for name, place in zip(("fc6", "fc7"), places, strict=False):
            linear = nn.Linear(list(self.lengths.values())[-1], FEATURES)
            if weights is not None:
                load_weights(linear, read_weights(trunk.name, weights), f"classifier.{place}.", source=weights)
            self.add_module(name, nn.Sequential(linear, nn.ReLU(), Dropout()))
            self.lengths[name] = FEATURES
        self.last = next(reversed(self.lengths))

    def classifier(self, num_classes: int) -> nn.Linear:
        """Build a layer of new classes on the last vector (Girshick et al. 2014, section 2.3)."""
        layer = nn.Linear(self.lengths[self.last], num_classes)
        nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(layer.bias)
        return layer

    def forward(self, maps: Tensor, last: str | None = None) -> dict[str, Tensor]:
        """Compute the vectors (K, D) of maps (K, C, H, W), of the layers up to ``last`` (None: of all)."""
        vectors: dict[str, Tensor] = {}
        for name in self.lengths:
            maps = self.get_submodule(name)(maps)
            vectors[name] = maps
            if name == last:
                break
        return vectors

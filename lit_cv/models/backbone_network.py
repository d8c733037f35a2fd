"""Base class of all networks on a backbone."""

from typing import Any

from lit_cv.models.backbones.trunk import Norm, Trunk, build_trunk
from lit_cv.models.network import Network


class BackboneNetwork(Network):
    """A network on a classification network without its classifier, the backbone.

    Args:
        backbone: A name of ``lit_cv.models.backbones.families.NAMES``, ``timm/<name>``, or the path of your own
            ``Family``, such as ``my_project.backbones.SLIM``.
        weights: Weights of the backbone: ``imagenet``, the path of a state dict, or None for random weights. In a path,
            ``{backbone}`` is the name of the backbone after its last slash, and ``$NAME`` an environment variable.
        trainable_layers: Number of stages of the backbone that are trained, counted from the last one; None trains all.
        norm: ``frozen`` fixes the batch norms of the backbone, ``train`` trains them, see ``build_trunk``.
        options: Arguments of ``Network``.
    """

    def __init__(
        self,
        *args: Any,
        backbone: str = "resnet50",
        weights: str | None = None,
        trainable_layers: int | None = None,
        norm: Norm = "frozen",
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.backbone_name, self.weights = backbone, weights
        self.trainable_layers, self.norm = trainable_layers, norm

    def build_trunk(self, output_stride: int = 32) -> Trunk:
        """Build the backbone; see ``build_trunk`` of ``lit_cv.models.backbones.trunk``."""
        return build_trunk(self.backbone_name, self.weights, self.norm, output_stride)

"""Fully convolutional networks (Long, Shelhamer & Darrell 2015) with any backbone and any in-network upsampling."""

from typing import Any, Literal

from torch import Tensor, nn

from lit_cv.errors import UserError
from lit_cv.models.backbone_network import BackboneNetwork
from lit_cv.models.backbones.classifier_ends import with_end
from lit_cv.models.backbones.stages import Stage
from lit_cv.models.backbones.trunk import Trunk
from lit_cv.models.layers.dropout import Dropout
from lit_cv.models.layers.upsampling import Overlap, Upsampling
from lit_cv.models.segmentation.decoders import ScoreDecoder, SymmetricDecoder
from lit_cv.models.segmentation.segmenter import Segmenter
from lit_cv.ops.limits import fractions

Decoder = Literal["score", "symmetric"]
Head = Literal["none", "backbone", "conv"]
FINEST_WITHOUT_SKIPS = 32


class FCN(BackboneNetwork, Segmenter):
    """A classification network that scores every pixel.

    ``FCN(21, backbone="resnet50", output_stride=8, head="conv", upsampling="bilinear")`` has the parameters and results
    of torchvision's ``fcn_resnet50`` without auxiliary classifier, whose state dict loads with ``load_state_dict``.

    Gradients are reproducible on CPUs. On GPUs, convolutions and poolings are reproducible with
    ``torch.use_deterministic_algorithms``, but bilinear interpolation is not.

    Args:
        upsampling: Operator that enlarges maps inside the network: ``nearest``, ``bilinear``, ``transposed``
            (convolution); with the symmetric decoder also ``bed_of_nails`` and ``max_unpool``.
        skips: 32 uses only the last map; 16 also the map at stride 16; 8 also the maps at strides 16 and 8.
        decoder: ``score``: Long et al. 2015, see ``ScoreDecoder``. ``symmetric``: Noh et al. 2015, see
            ``SymmetricDecoder``; its output has the size of the backbone's finest map, and its scores are resized
            bilinearly.
        decoder_width: Maximum number of channels of the symmetric decoder's maps; None: the channels of the backbone.
        upsampling_kernel: Height and width of the kernels of transposed convolutions; None: twice the stride in the
            score decoder, 3 in the symmetric one.
        upsampling_overlap: ``sum`` adds the kernels of transposed convolutions where they overlap; ``mean``, for the
            symmetric decoder, divides each sum by the number of kernels in it.
        upsampling_stride: Factor of each of the steps in which the score decoder enlarges the scores at the finest used
            map to pixels; None: one step.
        learned_upsampling: Whether the transposed convolutions of the score decoder are trained. They start as bilinear
            interpolation. Those of the symmetric decoder are always trained.
        head: Layers between the last map and the score layer. ``backbone``: the classifier's own layers as
            convolutions, see ``with_end``. ``conv``: torchvision's ``FCNHead``, for the score decoder: a 3x3
            convolution to a quarter of the channels, batch norm, ReLU and dropout. ``none``: no layers.
        output_stride: 16 or 8 dilates a ResNet, see ``build_trunk``.
        dropout: Dropout probability in the head; with ``head: none``, before the score layer. None: the published
            value of the head (``backbone``: 0.5, googlenet 0.2; ``conv``: 0.1; ``none``: 0).
        trainable_layers: Number of stages of the backbone that are trained, counted from the last one; fc6 and fc7 of
            ``head: backbone`` are one more stage. 0 trains only the new layers ("fixed" in Long et al., table 2). None
            trains all.
        options: Arguments of ``BackboneNetwork`` and ``Segmenter``.
    """

    def __init__(
        self,
        *args: Any,
        backbone: str = "vgg16",
        upsampling: Upsampling = "transposed",
        skips: Literal[32, 16, 8] = 32,
        decoder: Decoder = "score",
        decoder_width: int | None = None,
        upsampling_kernel: int | None = None,
        upsampling_overlap: Overlap = "sum",
        upsampling_stride: int | None = None,
        learned_upsampling: bool = False,
        head: Head = "none",
        output_stride: Literal[32, 16, 8] = 32,
        dropout: float | None = None,
        trainable_layers: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, backbone=backbone, trainable_layers=trainable_layers, **options)
        fractions(dropout=dropout)
        num_classes = self.num_classes
        kernel, step, learned = upsampling_kernel, upsampling_stride, learned_upsampling
        _check(upsampling, decoder, decoder_width, kernel, step, learned, head, self.weights)
        if upsampling_overlap == "mean" and (decoder, upsampling) != ("symmetric", "transposed"):
            raise UserError(
                "upsampling_overlap: mean belongs to decoder: symmetric with upsampling: transposed: remove it."
            )
        trunk = self.build_trunk(output_stride)
        if head == "backbone":
            trunk = with_end(trunk, self.weights, dropout)
        trunk.freeze(trainable_layers)
        taps = _taps(trunk, decoder, skips)
        strides, channels = [tap.stride for tap in taps], [tap.channels for tap in taps]
        self.divisible = strides[-1]
        self.backbone = trunk.layers.taps(taps)
        # The layers that all upsamplings share are built first: with one seed they start from the same weights.
        last = min(channels[0], decoder_width or channels[0]) if decoder == "symmetric" else channels[-1]
        self.classifier = _classifier(last, num_classes, head, dropout)
        self.decoder = (
            SymmetricDecoder(strides, channels, decoder_width, upsampling, kernel, skips, upsampling_overlap)
            if decoder == "symmetric"
            else ScoreDecoder(num_classes, strides, channels[:-1], upsampling, kernel, step, learned)
        )
        self.class_layers = {  # type: ignore[misc]
            f"classifier.{len(self.classifier) - 1}.*": "first",
            **({"decoder.scores.*": "first", "decoder.*.weight": "whole"} if decoder == "score" else {}),
        }
        self.upsampling_stride = self.decoder.last_factor
        self.use_memory_format()

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the logits, see ``Segmenter``."""
        maps = list(self.backbone(pixels).values())
        if isinstance(self.decoder, ScoreDecoder):
            logits: Tensor = self.decoder(self.classifier(maps[-1]), maps[:-1])
        else:
            logits = self.classifier(self.decoder(maps))
        return logits.float()


def _taps(trunk: Trunk, decoder: Decoder, skips: int) -> list[Stage]:
    """Return the stages whose maps the decoder reads, finest first. A map is the output of its stage's last layer."""
    *finer, last = trunk.stages
    skipped = [stage for stage in finer if stage.stride >= skips]
    if skips < FINEST_WITHOUT_SKIPS and (not skipped or skipped[0].stride != skips):
        raise UserError(
            f"skips={skips}: the last map of {trunk.name} has stride {last.stride} here, "
            f"and there is no finer one at stride {skips}: give 32."
        )
    if decoder == "symmetric":
        return trunk.stages
    return [*(_pooled(trunk, stage) for stage in skipped), last]


def _pooled(trunk: Trunk, stage: Stage) -> Stage:
    """Reduce a stage to its first layer if that is a pooling (pool3 and pool4 in Long et al. 2015)."""
    if not isinstance(trunk.layers.get_submodule(stage.layers[0]), nn.MaxPool2d):
        return stage
    return Stage(stage.layers[:1], stage.stride, trunk.stages[trunk.stages.index(stage) - 1].channels)


def _classifier(channels: int, num_classes: int, head: Head, dropout: float | None) -> nn.Sequential:
    """Return the layers from the last map to its scores."""
    if head == "conv":
        width = channels // 4
        return nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            Dropout(0.1 if dropout is None else dropout),
            nn.Conv2d(width, num_classes, 1),
        )
    score = nn.Conv2d(channels, num_classes, 1)
    return nn.Sequential(score) if head == "backbone" or dropout is None else nn.Sequential(Dropout(dropout), score)


def _check(
    upsampling: Upsampling,
    decoder: Decoder,
    width: int | None,
    kernel: int | None,
    stride: int | None,
    learned: bool,
    head: Head,
    weights: str | None,
) -> None:
    """Refuse options that contradict each other or have no effect."""
    if weights == "imagenet-features":
        raise UserError("weights: imagenet-features are for the pixels of SSD: give imagenet or a state dict.")
    if decoder == "score" and upsampling in ("bed_of_nails", "max_unpool"):
        raise UserError(f"upsampling: {upsampling} needs convolutions after it: choose decoder: symmetric.")
    if upsampling != "transposed" and (kernel is not None or learned):
        raise UserError(
            f"upsampling_kernel and learned_upsampling belong to upsampling: transposed, not {upsampling}: remove them."
        )
    if kernel is not None and kernel < 1:
        raise UserError(f"upsampling_kernel={kernel}: give at least 1.")
    if decoder == "score" and width is not None:
        raise UserError("decoder_width belongs to decoder: symmetric: remove it.")
    if width is not None and width < 1:
        raise UserError(f"decoder_width={width}: give at least 1.")
    if decoder == "symmetric" and (stride is not None or head == "conv"):
        raise UserError("upsampling_stride and head: conv belong to decoder: score: remove them.")

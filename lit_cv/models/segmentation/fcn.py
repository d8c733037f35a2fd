"""Fully convolutional networks (Long, Shelhamer & Darrell 2015): any backbone, any upsampling inside the network."""

from typing import Literal

import torch
from torch import Tensor, nn

from lit_cv.errors import UserError
from lit_cv.models.backbones.classifier_ends import with_end
from lit_cv.models.backbones.stages import Stage
from lit_cv.models.backbones.trunk import Norm, Trunk, build_trunk
from lit_cv.models.layers.dropout import Dropout
from lit_cv.models.layers.upsampling import Upsampling
from lit_cv.models.segmentation.decoders import ScoreDecoder, SymmetricDecoder
from lit_cv.models.segmentation.segmenter import Segmenter

Decoder = Literal["score", "symmetric"]
Head = Literal["none", "backbone", "conv"]
FINEST_WITHOUT_SKIPS = 32


class FCN(Segmenter):
    """A classification network that scores every pixel.

    ``FCN(21, "resnet50", output_stride=8, head="conv", upsampling="bilinear")`` has the parameters and results of
    torchvision's ``fcn_resnet50`` without auxiliary classifier, whose state dict loads with ``load_state_dict``.

    Its gradients are the same in every run on CPU. On GPU those of bilinear interpolation are not; the convolutions and
    poolings are under ``torch.use_deterministic_algorithms``.

    Args:
        num_classes: Number of classes with the background.
        backbone: A name of ``lit_cv.models.backbones.families.NAMES`` or ``timm/<name>``.
        weights: Of the backbone: ``imagenet``, the path of a state dict, or None.
        upsampling: How maps are enlarged inside the network: ``nearest``, ``bilinear``, ``transposed`` (convolution),
            and in the symmetric decoder ``bed_of_nails`` and ``max_unpool``.
        skips: 32: only the last map is used; 16, 8: also those at strides 16, and 8.
        decoder: ``score``: Long et al. 2015, see ``ScoreDecoder``. ``symmetric``: Noh et al. 2015, see
            ``SymmetricDecoder``; it ends at the backbone's finest map, from where scores are resized bilinearly.
        decoder_width: Most channels of the symmetric decoder's maps; None: as many as the backbone's.
        upsampling_kernel: Sides of transposed convolutions; None: twice the stride in the score decoder, 3 in the
            symmetric one.
        upsampling_stride: Of the score decoder: scores at the finest used map are enlarged to pixels by this factor
            again and again; None: in one step.
        learned_upsampling: Of transposed convolutions in the score decoder: trained from bilinear interpolation on, or
            fixed to it. Those of the symmetric decoder are always learned.
        head: What stands between the last map and the score layer. ``backbone``: the classifier's own layers as
            convolutions, see ``with_end``; ``conv``: a 3x3 convolution to a quarter of the channels, batch norm, ReLU
            and dropout, torchvision's ``FCNHead``, for the score decoder; ``none``.
        output_stride: 16 or 8 dilates a ResNet, see ``build_trunk``.
        dropout: In the head, before the score layer without one; None: as the head was published (``backbone``: 0.5,
            googlenet 0.2; ``conv``: 0.1; ``none``: 0).
        min_size: Pixels of the shorter side of the resized image; None keeps each image as it is.
        max_size: Largest longer side of the resized image.
        trainable_layers: How many stages of the backbone are trained, counted from the last, where fc6 and fc7 of
            ``head: backbone`` are one more; 0 trains the new layers alone ("fixed" in Long et al., table 2); None all.
        norm: Of the backbone: ``frozen`` or ``train``, see ``build_trunk``.
        channels_last: Memory format of the network; faster on CPU and with bfloat16.
    """

    def __init__(
        self,
        num_classes: int,
        backbone: str = "vgg16",
        weights: str | None = None,
        upsampling: Upsampling = "transposed",
        skips: Literal[32, 16, 8] = 32,
        decoder: Decoder = "score",
        decoder_width: int | None = None,
        upsampling_kernel: int | None = None,
        upsampling_stride: int | None = None,
        learned_upsampling: bool = False,
        head: Head = "none",
        output_stride: Literal[32, 16, 8] = 32,
        dropout: float | None = None,
        min_size: int | None = None,
        max_size: int = 1333,
        trainable_layers: int | None = None,
        norm: Norm = "frozen",
        channels_last: bool = False,
    ) -> None:
        kernel, step, learned = upsampling_kernel, upsampling_stride, learned_upsampling
        _check(upsampling, decoder, decoder_width, kernel, step, learned, head, weights)
        trunk = build_trunk(backbone, weights, norm, output_stride)
        if head == "backbone":
            trunk = with_end(trunk, weights, dropout)
        trunk.freeze(trainable_layers)
        taps = _taps(trunk, decoder, skips)
        strides, channels = [tap.stride for tap in taps], [tap.channels for tap in taps]
        super().__init__(num_classes, min_size, max_size, divisible=strides[-1], channels_last=channels_last)
        self.backbone = trunk.layers.taps(taps)
        # First what all upsamplings share, so that with one seed they start from the same weights.
        last = min(channels[0], decoder_width or channels[0]) if decoder == "symmetric" else channels[-1]
        self.classifier = _classifier(last, num_classes, head, dropout)
        self.decoder = (
            SymmetricDecoder(strides, channels, decoder_width, upsampling, kernel, skips)
            if decoder == "symmetric"
            else ScoreDecoder(num_classes, strides, channels[:-1], upsampling, kernel, step, learned)
        )
        self.upsampling_stride = self.decoder.last_factor
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def scores(self, pixels: Tensor) -> Tensor:
        """See ``Segmenter.scores``."""
        maps = list(self.backbone(pixels).values())
        if isinstance(self.decoder, ScoreDecoder):
            logits: Tensor = self.decoder(self.classifier(maps[-1]), maps[:-1])
        else:
            logits = self.classifier(self.decoder(maps))
        return logits


def _taps(trunk: Trunk, decoder: Decoder, skips: int) -> list[Stage]:
    """Return the maps that the decoder reads, finest first, each the output of its last layer."""
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
    """Cut a stage down to the pooling that it starts with, pool3 and pool4 in Long et al. 2015; if it does."""
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
    """Refuse options that contradict each other or would change nothing."""
    if weights == "imagenet-features":
        raise UserError("weights: imagenet-features are for the pixels of SSD: give imagenet or a state dict.")
    if decoder == "score" and upsampling in ("bed_of_nails", "max_unpool"):
        raise UserError(f"upsampling: {upsampling} needs convolutions after it: choose decoder: symmetric.")
    if upsampling != "transposed" and (kernel is not None or learned):
        raise UserError(
            f"upsampling_kernel and learned_upsampling belong to upsampling: transposed, not {upsampling}: drop them."
        )
    if kernel is not None and kernel < 1:
        raise UserError(f"upsampling_kernel={kernel}: give at least 1.")
    if decoder == "score" and width is not None:
        raise UserError("decoder_width belongs to decoder: symmetric: leave it out.")
    if width is not None and width < 1:
        raise UserError(f"decoder_width={width}: give at least 1.")
    if decoder == "symmetric" and (stride is not None or head == "conv"):
        raise UserError("upsampling_stride and head: conv belong to decoder: score: leave them out.")

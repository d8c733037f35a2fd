"""A network as a program of ``torch.export``: the pixels of one image in, its predictions out."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from lit_cv.errors import UserError
from lit_cv.exporting.pixels import traced_batch
from lit_cv.models.detection.sliding_window import SlidingWindowDetector
from lit_cv.models.network import Network, OnePassNetwork
from lit_cv.models.rcnn.densecap import DenseCap
from lit_cv.models.rcnn.proposals import ProposalDetector
from lit_cv.models.rcnn.two_stage import TwoStageDetector
from lit_cv.models.resizing import FittedImages, SquareImages
from lit_cv.models.segmentation.components import ComponentFCN
from lit_cv.models.segmentation.sliding_window import SlidingWindowSegmenter

EXAMPLE = (120, 160)  # height and width of the image that is traced; other sizes work as well
PREPARED = (FittedImages.batch, SquareImages.batch)  # the preprocessing that ``traced_batch`` repeats


class ImageToPrediction(nn.Module):
    """Predicts for one image, with resizing, normalization and NMS.

    Args:
        network: In eval mode, in float32 on the CPU.
    """

    def __init__(self, network: OnePassNetwork | TwoStageDetector) -> None:
        super().__init__()
        self.network: OnePassNetwork | TwoStageDetector = network

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Map an image uint8 (3, H, W) to its prediction, see ``Network.predict``."""
        return dict(self.network.predict_batch(traced_batch(self.network, image))[0])


def exported_program(network: Network) -> ExportedProgram:
    """Trace a network from the pixels of an image uint8 (3, H, W) of any size to its prediction.

    The network is moved to the CPU, converted to float32, and left in eval mode and without gradients.

    Raises:
        UserError: The network cannot be exported.
    """
    refuse(network)
    assert isinstance(network, OnePassNetwork | TwoStageDetector)
    module = (
        ImageToPrediction(network)
        .eval()
        .requires_grad_(False)
        .to("cpu", torch.float32)
        .to(memory_format=torch.contiguous_format)
    )
    image = torch.zeros(3, *EXAMPLE, dtype=torch.uint8)
    sizes = ({1: Dim("height"), 2: Dim("width")},)
    with torch.no_grad(), quiet_tracing():
        try:
            return torch.export.export(module, (image,), dynamic_shapes=sizes)
        except Exception as error:  # a network of the user's own may do anything, and torch raises many types
            raise UserError(
                f"{name_of(network)} cannot be exported: torch.export refuses it ({first_line(error)})."
            ) from error


@contextmanager
def quiet_tracing() -> Iterator[None]:
    """Trace inside the ``with`` block without oneDNN, whose use depends on sizes that a trace of PyTorch 2.11 lacks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they concern PyTorch's own calls
        with torch.backends.mkldnn.flags(enabled=False):
            yield


def refuse(network: Network) -> None:
    """Check that a network is of a kind that can be exported.

    Raises:
        UserError: It is not.
    """
    name = name_of(network)
    if isinstance(network, ProposalDetector):
        raise UserError(f"{name} cannot be exported: it classifies regions that Selective Search finds outside of it.")
    if isinstance(network, DenseCap):
        raise UserError(f"{name} cannot be exported: it writes phrases in a loop whose length depends on the words.")
    if isinstance(network, SlidingWindowDetector | SlidingWindowSegmenter):
        raise UserError(f"{name} cannot be exported: it cuts the image into windows in a loop over their places.")
    if isinstance(network, ComponentFCN):
        raise UserError(f"{name} cannot be exported: it looks for connected components in a loop over the classes.")
    if getattr(network, "readout", "exact") != "exact":
        raise UserError(f"{name} cannot be exported with readout: {network.readout}; set it to exact.")
    if not isinstance(network, OnePassNetwork | TwoStageDetector):
        raise UserError(
            f"{name} cannot be exported: its predict is no function of one batch of pixels, such as predict_batch of "
            "a OnePassNetwork."
        )
    if getattr(type(network), "batch", None) not in PREPARED:
        raise UserError(f"{name} cannot be exported: it prepares its images in a way of its own (its method batch).")


def name_of(network: Network) -> str:
    """Return the name of a network's class."""
    return type(network).__name__


def first_line(error: Exception) -> str:
    """Return the first line of an exception's text, or its type."""
    return (str(error).strip().partition("\n")[0] or type(error).__name__).rstrip(".")

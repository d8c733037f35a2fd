"""Time one training step (forward, backward, optimizer) of FasterRCNN or MaskRCNN against torchvision's model.

Both have the same weights and use the same batch, in turns. torchvision's model gets float images and dense masks, as
in its reference scripts. Ours gets uint8 images and runs. Prints and writes medians and their ratio (ours /
torchvision's; below 1 means ours is faster).

    python benchmarks/train_step.py --device cpu --backbone mobilenet_v3_large --batch 2 --channels-last
    python benchmarks/train_step.py --masks --backbone mobilenet_v3_large --channels-last --precision bf16
"""

import argparse
from collections.abc import Iterable

import torch
import torchvision
from timing import median_seconds, training_step, write
from torch import Tensor
from torchvision.models.detection import faster_rcnn as peer
from torchvision.models.detection.mask_rcnn import MaskRCNN as PeerMaskRCNN
from torchvision.ops import MultiScaleRoIAlign

from lit_cv.bench.cost import device_name
from lit_cv.models import FasterRCNN, MaskRCNN
from lit_cv.ops.mask_runs import encode_masks

CLASSES = 91
SIZES = {"mobilenet_v3_large": (320, 640), "resnet50": (800, 1333)}


def build(backbone: str, channels_last: bool, masks: bool) -> tuple[FasterRCNN, peer.FasterRCNN]:
    """Return our network and torchvision's with frozen batch norm and the same weights."""
    make, make_theirs = (MaskRCNN, PeerMaskRCNN) if masks else (FasterRCNN, peer.FasterRCNN)
    frozen = {"weights": None, "norm_layer": torchvision.ops.FrozenBatchNorm2d}
    low, high = SIZES[backbone]
    ours = {"min_size": low, "max_size": high, "channels_last": channels_last}
    if backbone == "resnet50":
        body = peer._resnet_fpn_extractor(peer.resnet50(**frozen), 3)
        theirs = make_theirs(body, CLASSES, min_size=low, max_size=high)
        network = make(CLASSES, backbone=backbone, trainable_layers=3, **ours)
    else:
        body = peer._mobilenet_extractor(peer.mobilenet_v3_large(**frozen), True, 6)
        scales = [[32, 64, 128, 256, 512]] * 3
        anchors = peer.AnchorGenerator(tuple(map(tuple, scales)), ((0.5, 1.0, 2.0),) * 3)
        theirs = make_theirs(
            body, CLASSES, min_size=low, max_size=high, rpn_anchor_generator=anchors, rpn_score_thresh=0.05
        )
        if masks:
            theirs.roi_heads.mask_roi_pool = MultiScaleRoIAlign(["0", "1"], 14, 2)  # its default expects four maps
        network = make(CLASSES, backbone=backbone, anchor_scales=scales, rpn_score_threshold=0.05, **ours)
    network.load_state_dict(theirs.state_dict())
    return network, theirs


def make_batch(size: int) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Return images of shapes typical of COCO with seven objects each (COCO's mean) and elliptic masks."""
    images, targets = [], []
    for index in range(size):
        height, width = [(480, 640), (640, 480), (427, 640)][index % 3]
        images.append(torch.randint(0, 256, (3, height, width), dtype=torch.uint8))
        corners = torch.rand(7, 2, 2).sort(dim=1).values * torch.tensor([width - 4, height - 4])
        corners[:, 1] += 4
        target = {"boxes": corners.flatten(1), "labels": torch.randint(1, CLASSES, (7,))}
        y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        side = (corners[:, 1] - corners[:, 0])[..., None, None]
        target["masks"] = ((torch.stack((x, y)) - corners[:, 0, :, None, None]) / side - 0.5).square().sum(1) <= 0.25
        runs = encode_masks(target["masks"])
        target |= {"mask_runs": runs.runs, "mask_lengths": runs.lengths, "mask_size": torch.tensor([height, width])}
        targets.append(target)
    return images, targets


def measure(arguments: argparse.Namespace, batch: int) -> dict[str, object]:
    """Time both networks in turns on one batch."""
    device = arguments.device
    torch.manual_seed(0)
    pair = build(arguments.backbone, arguments.channels_last, arguments.masks)
    ours, theirs = (network.to(device).train() for network in pair)
    images, targets = make_batch(batch)
    floats = [image / 255 for image in images]

    def their_losses() -> Iterable[Tensor]:
        moved = [{key: value.to(device) for key, value in target.items()} for target in targets]
        return theirs([image.to(device) for image in floats], moved).values()

    bf16 = arguments.precision == "bf16"
    steps = {
        "ours": training_step(ours, lambda: ours.losses(images, targets).values(), device, bf16),
        "torchvision": training_step(theirs, their_losses, device, bf16),
    }
    medians = median_seconds(steps, arguments.steps, arguments.warmup, device)
    return {
        "batch": batch,
        "seconds": medians,
        "images_per_second": {name: batch / median for name, median in medians.items()},
        "ratio": medians["ours"] / medians["torchvision"],
    }


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32")
    parser.add_argument("--backbone", choices=tuple(SIZES), default="mobilenet_v3_large")
    parser.add_argument("--masks", action="store_true", help="time Mask R-CNN instead of Faster R-CNN")
    parser.add_argument("--batch", type=int, nargs="+", default=[2])
    parser.add_argument("--channels-last", action="store_true", help="memory format of our network (recommended)")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=2)
    arguments = parser.parse_args()
    result = {
        "setting": {**vars(arguments), "threads": torch.get_num_threads()},
        "hardware": device_name(torch.device(arguments.device)),
        "versions": {"torch": torch.__version__, "torchvision": torchvision.__version__},
        "results": [measure(arguments, batch) for batch in arguments.batch],
    }
    memory = "channels_last" if arguments.channels_last else "plain"
    for row in result["results"]:
        print(f"batch {row['batch']}: {row['seconds']} s, ratio {row['ratio']:.3f}")
    name = "mask_step" if arguments.masks else "train_step"
    write(f"{name}-{arguments.device}-{arguments.precision}-{arguments.backbone}-{memory}", result)


if __name__ == "__main__":
    main()

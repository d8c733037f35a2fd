"""Time sliding window, R-CNN, Fast R-CNN and Faster R-CNN at test time, on one backbone and the same photos.

The detectors take turns. R-CNN and Fast R-CNN classify the same proposals, the best of Selective Search (fast mode).
Faster R-CNN computes its own proposals. Weights are random by default: they hardly affect the time of a detector. The
table also lists the published times (VGG-16, one GPU of 2015). Only their order and ratios are comparable.

    python benchmarks/rcnn_lineage.py --root data --images 3 --repeats 3
    python benchmarks/rcnn_lineage.py --root data --min-size 320 --max-size 533 --proposals 300 \
        --precision bf16
"""

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from timing import median_seconds, write
from torch import Tensor, nn
from torchvision.io import ImageReadMode, decode_image

from lit_cv.bench.cost import device_name, stage_seconds
from lit_cv.models import RCNN, FasterRCNN, FastRCNN, SlidingWindowDetector
from lit_cv.models.rcnn.proposals import ProposalDetector, propose

CLASSES, BACKBONE = 21, "squeezenet1_0"
# Without proposals: Girshick 2015 (arXiv:1504.08083), Table 4. With proposals: Stanford CS231n 2017, lecture 11.
# Faster R-CNN: Ren et al. 2015 (arXiv:1506.01497), Table 5.
PAPERS = {
    "R-CNN with proposals": 49.0,
    "R-CNN": 47.0,
    "Fast R-CNN with proposals": 2.3,
    "Fast R-CNN": 0.32,
    "Faster R-CNN": 0.198,
}
REFERENCE = "Faster R-CNN"


def photos(root: Path, count: int) -> list[Tensor]:
    """Read the first photos of VOC2012 val, uint8 (3, H, W)."""
    folder = root / "VOCdevkit" / "VOC2012"
    names = (folder / "ImageSets" / "Main" / "val.txt").read_text().split()[:count]
    return [decode_image(str(folder / "JPEGImages" / f"{name}.jpg"), ImageReadMode.RGB) for name in names]


def build(arguments: argparse.Namespace) -> dict[str, nn.Module]:
    """Return the four detectors with the same backbone, image size and window size."""
    common = {
        "num_classes": CLASSES,
        "backbone": arguments.backbone,
        "weights": arguments.weights,
        "channels_last": True,
    }
    sized = common | {"min_size": arguments.min_size, "max_size": arguments.max_size}
    head = {"head": "backbone" if arguments.backbone.startswith("vgg") else "mlp"}
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {
        "sliding window": SlidingWindowDetector(**sized, size=arguments.window),
        "R-CNN": RCNN(**common, size=arguments.window, proposals_test=arguments.proposals),
        "Fast R-CNN": FastRCNN(**sized, **head, proposals_test=arguments.proposals),
        REFERENCE: FasterRCNN(**sized, **head, neck="c4", rpn_pre_nms_test=6000, rpn_post_nms_test=300),
    }
    return {name: network.to(arguments.device).eval() for name, network in networks.items()}


def calls(networks: dict[str, nn.Module], image: Tensor, proposals: Tensor) -> dict[str, Callable[[], object]]:
    """Return the timed calls on one image: Selective Search, and each detector with proposals if it takes them."""
    timed: dict[str, Callable[[], object]] = {"Selective Search": partial(propose, image)}
    for name, network in networks.items():
        given = ([image], [proposals]) if isinstance(network, ProposalDetector) else ([image],)
        timed[name] = partial(network.predict, *given)
    return timed


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    """Time all calls on each image in turns; return means over the images of medians over the turns."""
    images = [image.to(arguments.device) for image in photos(arguments.root, arguments.images)]
    networks = build(arguments)
    for call in calls(networks, images[0][:, :96, :96], images[0].new_tensor([[0, 0, 96, 96]]).float()).values():
        call()  # compile and warm up on a small image; a full one would take minutes
    found = [propose(image)[: arguments.proposals] for image in images]
    medians = [
        median_seconds(calls(networks, image, boxes), arguments.repeats, warmup=0, device=arguments.device)
        for image, boxes in zip(images, found, strict=True)
    ]
    seconds = {name: statistics.mean(taken[name] for taken in medians) for name in medians[0]}
    for name in ("R-CNN", "Fast R-CNN"):
        seconds[f"{name} with proposals"] = seconds[name] + seconds["Selective Search"]
    stages = {name: stage_seconds(networks[name], images, 1) for name in ("Fast R-CNN", REFERENCE)}
    return {
        "proposals_per_image": statistics.mean(len(boxes) for boxes in found),
        "seconds_per_image": seconds,
        "ratio_to_faster_rcnn": {name: taken / seconds[REFERENCE] for name, taken in seconds.items()},
        "share_of_proposals_in_fast_rcnn": seconds["Selective Search"] / seconds["Fast R-CNN with proposals"],
        "stages_with_proposals": stages,
        "published_seconds": PAPERS,
    }


def table(result: dict[str, dict[str, float]]) -> list[str]:
    """Return a Markdown table, slowest first: seconds and ratio, measured and published."""
    lines = [
        "|                           | s/image | ratio to Faster R-CNN | published s | published ratio |",
        "| ------------------------- | ------- | --------------------- | ----------- | --------------- |",
    ]
    seconds = result["seconds_per_image"]
    for name in sorted(seconds, key=lambda name: -seconds[name]):
        published = PAPERS.get(name)
        texts = ("–", "–") if published is None else (f"{published:g}", f"{published / PAPERS[REFERENCE]:.1f}")
        ratio = result["ratio_to_faster_rcnn"][name]
        lines.append(f"| {name:25} | {seconds[name]:7.3f} | {ratio:21.1f} | {texts[0]:>11} | {texts[1]:>15} |")
    return lines


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder with VOCdevkit/VOC2012")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32")
    parser.add_argument("--backbone", default=BACKBONE, help="name of the backbone (default %(default)s)")
    parser.add_argument("--weights", help="imagenet or path of a state dict (default: random weights)")
    parser.add_argument("--images", type=int, default=3, help="number of photos (default %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="measured turns (default %(default)s)")
    parser.add_argument("--proposals", type=int, default=2000, help="maximum per image (default %(default)s)")
    parser.add_argument("--window", type=int, default=224, help="side of a warped region (default %(default)s)")
    parser.add_argument("--min-size", type=int, default=600, help="shorter side of an image (default %(default)s)")
    parser.add_argument("--max-size", type=int, default=1000, help="maximum longer side (default %(default)s)")
    arguments = parser.parse_args()
    with torch.autocast(arguments.device, torch.bfloat16, enabled=arguments.precision == "bf16"):
        result = measure(arguments)
    print(*table(result), sep="\n")
    setting = {name: str(value) if isinstance(value, Path) else value for name, value in vars(arguments).items()}
    setting |= {"root": "VOC2012 val", "threads": torch.get_num_threads()}
    machine = {"hardware": device_name(torch.device(arguments.device)), "versions": {"torch": torch.__version__}}
    suffix = f"{arguments.backbone}-{arguments.min_size}-{arguments.precision}"
    write(f"rcnn_lineage-{arguments.device}-{suffix}", {"setting": setting, **machine, **result})


if __name__ == "__main__":
    main()

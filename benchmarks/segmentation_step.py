"""Time one training step (forward, backward, optimiser) of FCN-ResNet-50 against torchvision's own model.

All have the same architecture and weights and see the same batch, in turns. torchvision's trains in a plain
loop with float images in the plain memory format and batch norm that is trained; ours takes uint8 images and has
channels_last memory, with frozen (folded) batch norm and with batch norm that is trained: the difference between the
two is what freezing gains. Prints and writes medians and ratios (ours / torchvision's; below 1 is faster).

    python benchmarks/segmentation_step.py --device cpu --batch 2 --size 320 --profile
"""

import argparse
from collections.abc import Iterable

import torch
import torchvision
from timing import hardware, median_seconds, training_step, write
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation import fcn_resnet50

from lit_cv.models import FCN

CLASSES = 21
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def build() -> dict[str, nn.Module]:
    """Return torchvision's network and ours with one state dict."""
    theirs = fcn_resnet50(weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=False)
    options = {"output_stride": 8, "head": "conv", "upsampling": "bilinear", "channels_last": True}
    networks: dict[str, nn.Module] = {"torchvision": theirs}
    for norm in ("frozen", "train"):
        network = FCN(CLASSES, "resnet50", norm=norm, **options)
        network.load_state_dict(theirs.state_dict(), strict=norm == "train")  # frozen norms count no batches
        networks[f"ours_norm_{norm}"] = network
    return networks


def make_batch(batch: int, size: int) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Return images and masks with some void, in squares as crops of training are."""
    images = [torch.randint(0, 256, (3, size, size), dtype=torch.uint8) for _ in range(batch)]
    masks = [torch.randint(0, CLASSES, (size, size), dtype=torch.uint8) for _ in range(batch)]
    for mask in masks:
        mask[:10] = 255
    return images, [{"mask": mask} for mask in masks]


def measure(arguments: argparse.Namespace, batch: int) -> dict[str, object]:
    """Time all networks in turns on one batch."""
    device, bf16 = arguments.device, arguments.precision == "bf16"
    torch.manual_seed(0)
    networks = {name: network.to(device).train() for name, network in build().items()}
    images, targets = make_batch(batch, arguments.size)
    normalise = torchvision.transforms.Normalize(MEAN, STD)
    floats = torch.stack([normalise(image / 255) for image in images])
    labels = torch.stack([target["mask"] for target in targets]).long()

    def their_losses() -> Iterable[Tensor]:
        logits = networks["torchvision"](floats.to(device))["out"]
        return [F.cross_entropy(logits, labels.to(device), ignore_index=255)]

    steps = {"torchvision": training_step(networks["torchvision"], their_losses, device, bf16)}
    for name, network in networks.items():
        if name != "torchvision":
            steps[name] = training_step(
                network, lambda network=network: network.losses(images, targets).values(), device, bf16
            )
    medians = median_seconds(steps, arguments.steps, arguments.warmup, device)
    if arguments.profile:
        with torch.profiler.profile() as profile:
            steps["ours_norm_frozen"]()
        print(profile.key_averages().table(sort_by=f"self_{device}_time_total", row_limit=12, max_name_column_width=40))
    return {
        "batch": batch,
        "seconds": medians,
        "images_per_second": {name: batch / median for name, median in medians.items()},
        "ratio": {name: median / medians["torchvision"] for name, median in medians.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("float32", "bf16"), default="float32", help="of all networks")
    parser.add_argument("--batch", type=int, nargs="+", default=[2])
    parser.add_argument("--size", type=int, default=320, help="sides of the images, a multiple of 8")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--profile", action="store_true", help="print where a step of ours spends its time")
    arguments = parser.parse_args()
    result = {
        "setting": {**vars(arguments), "threads": torch.get_num_threads()},
        "hardware": hardware(arguments.device),
        "versions": {"torch": torch.__version__, "torchvision": torchvision.__version__},
        "results": [measure(arguments, batch) for batch in arguments.batch],
    }
    for row in result["results"]:
        print(f"batch {row['batch']}: {row['seconds']} s, ratio {row['ratio']}")
    write(f"segmentation_step-{arguments.device}-{arguments.precision}", result)


if __name__ == "__main__":
    main()

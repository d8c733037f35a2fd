"""Time one training step (forward, backward, optimizer) of FCN-ResNet-50 against torchvision's model.

All networks have the same architecture and weights and use the same batch, in turns. torchvision's fcn_resnet50 trains
in a plain loop as in its reference scripts: float images, contiguous memory format, float32, trained batch norm. Ours
takes uint8 images and uses channels_last memory, with frozen (folded) or trained batch norm and in float32 or bfloat16,
to separate the effect of each. Recommended on CPU: frozen batch norm, and bfloat16 if the CPU has instructions for it.
Prints and writes medians and ratios (ours / torchvision's; below 1 means ours is faster).

    python benchmarks/segmentation_step.py --device cpu --batch 2 --size 320 --profile
"""

import argparse
import functools
from collections.abc import Iterable

import torch
import torchvision
from timing import median_seconds, training_step, write
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation import fcn_resnet50

from lit_cv.bench.cost import device_name
from lit_cv.models import FCN

CLASSES = 21
ARMS = {f"ours norm={norm} {kind}": (norm, kind) for kind in ("float32", "bf16") for norm in ("train", "frozen")}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def build(precisions: list[str]) -> dict[str, nn.Module]:
    """Return torchvision's network and ours with the same weights."""
    theirs = fcn_resnet50(weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=False)
    options = {"output_stride": 8, "head": "conv", "upsampling": "bilinear", "channels_last": True}
    networks: dict[str, nn.Module] = {"torchvision": theirs}
    for name, norm in [(name, norm) for name, (norm, kind) in ARMS.items() if kind in precisions]:
        network = FCN(CLASSES, backbone="resnet50", norm=norm, **options)
        network.load_state_dict(theirs.state_dict(), strict=norm == "train")  # frozen norms count no batches
        networks[name] = network
    return networks


def make_batch(batch: int, size: int) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Return square images, like training crops, and masks with some void pixels."""
    images = [torch.randint(0, 256, (3, size, size), dtype=torch.uint8) for _ in range(batch)]
    masks = [torch.randint(0, CLASSES, (size, size), dtype=torch.uint8) for _ in range(batch)]
    for mask in masks:
        mask[:10] = 255
    return images, [{"mask": mask} for mask in masks]


def measure(arguments: argparse.Namespace, batch: int) -> dict[str, object]:
    """Time all networks in turns on one batch."""
    device = arguments.device
    torch.manual_seed(0)
    networks = {name: network.to(device).train() for name, network in build(arguments.precision).items()}
    images, targets = make_batch(batch, arguments.size)
    normalize = torchvision.transforms.Normalize(MEAN, STD)
    floats = torch.stack([normalize(image / 255) for image in images])
    labels = torch.stack([target["mask"] for target in targets]).long()

    def their_losses() -> Iterable[Tensor]:
        logits = networks["torchvision"](floats.to(device))["out"]
        return [F.cross_entropy(logits, labels.to(device), ignore_index=255)]

    steps = {"torchvision": training_step(networks["torchvision"], their_losses, device, bf16=False)}
    for name in [name for name in ARMS if name in networks]:
        ours = functools.partial(networks[name].losses, images, targets)
        steps[name] = training_step(networks[name], lambda ours=ours: ours().values(), device, ARMS[name][1] == "bf16")
    medians = median_seconds(steps, arguments.steps, arguments.warmup, device)
    if arguments.profile:
        with torch.profiler.profile() as profile:
            steps[f"ours norm=frozen {arguments.precision[-1]}"]()
        print(profile.key_averages().table(sort_by=f"self_{device}_time_total", row_limit=12, max_name_column_width=40))
    return {
        "batch": batch,
        "seconds": medians,
        "images_per_second": {name: batch / median for name, median in medians.items()},
        "ratio": {name: median / medians["torchvision"] for name, median in medians.items()},
    }


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, nargs="+", default=[2])
    parser.add_argument("--size", type=int, default=320, help="side of the images, a multiple of 8")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--precision", choices=("float32", "bf16"), nargs="+", default=["float32"])
    parser.add_argument("--profile", action="store_true", help="print a profile of one step of ours")
    arguments = parser.parse_args()
    result = {
        "setting": {**vars(arguments), "threads": torch.get_num_threads()},
        "hardware": device_name(torch.device(arguments.device)),
        "versions": {"torch": torch.__version__, "torchvision": torchvision.__version__},
        "results": [measure(arguments, batch) for batch in arguments.batch],
    }
    for row in result["results"]:
        for name, seconds in row["seconds"].items():
            print(f"batch {row['batch']}: {name:30s} {seconds:7.3f} s, ratio {row['ratio'][name]:.3f}")
    write(f"segmentation_step-{arguments.device}", result)


if __name__ == "__main__":
    main()

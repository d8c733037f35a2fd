"""`litcv bench CONFIG`: measure the cost of an experiment's network on validation images, by stage."""

import argparse
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_cv.commands.parsers import Verbs, add_config, add_verb, refuse_missing_config
from lit_cv.errors import UsageError, UserError

if TYPE_CHECKING:
    import torch
    from lightning.pytorch import LightningDataModule

    from lit_cv.models.network import Network

AUTOCAST = {"bf16-mixed": "bfloat16", "16-mixed": "float16"}  # precision of the trainer -> dtype of torch
FULL = ("32-true", "32", 32, None)
NAMES = {"nms": "NMS"}


def add_parser(verbs: Verbs) -> None:
    """Add `bench`."""
    parser = add_verb(verbs, "bench", "measure a network's time by stage, FLOPs, parameters and memory",
                      "litcv bench experiments/voc/ssd_squeezenet.yaml --images 8 --data.root=data", _run)  # fmt: skip
    add_config(parser, "an experiment's YAML file, or the folder of a run")
    parser.add_argument("--images", type=int, default=4, help="number of validation images (4)")
    parser.add_argument("--repeats", type=int, default=5, help="timed passes over each image (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there as well")


def _run(options: argparse.Namespace) -> int:
    if not options.config.is_dir():
        refuse_missing_config(["--config", str(options.config)])
    run_bench(options.config, options.overrides, images=options.images, repeats=options.repeats, output=options.json)
    return 0


def run_bench(config: Path, overrides: Sequence[str], *, images: int, repeats: int, output: Path | None) -> None:
    """Measure the network of an experiment, print a table, and write it as JSON if asked.

    Proposals that the data would attach are left out: the network finds its own, and their time is part of the result.

    Args:
        config: An experiment's YAML file (the network has the weights with which the experiment starts), or the folder
            of a run (the network has the weights of the best checkpoint).
        overrides: Dotted options, as for `fit`.
        images: Number of images of the validation set.
        repeats: Number of timed passes over each image.
        output: JSON file.

    Raises:
        UserError: Bad options, missing data, or a precision that is not measured.
    """
    import torch

    from lit_cv.bench.cost import device_name, measure, peak_memory_gb, reset_peak_memory, stage_seconds
    from lit_cv.runs.checkpoints import best_checkpoint
    from lit_cv.runs.files import write_json
    from lit_cv.training.experiment import parsed

    if images < 1 or repeats < 1:
        raise UsageError(f"--images {images} --repeats {repeats}: give at least 1 of each.")
    checkpoint = best_checkpoint(config) if config.is_dir() else None
    file = config / "config.yaml" if config.is_dir() else config
    setting = parsed(["fit", "--config", str(file), *overrides])
    trainer = setting.fit.trainer
    device = _device(trainer.accelerator)
    precision = _precision(trainer.precision, device)
    network, data = _build(setting, checkpoint)
    network.to(device)
    pictures = _images(data, images)
    with precision:
        cost = measure(network, pictures, repeats * len(pictures))
        reset_peak_memory(device)
        stages = stage_seconds(network, pictures, repeats)
    result = {
        "config": str(config),
        "overrides": list(overrides),
        "network": type(network).__name__,
        "weights": str(checkpoint or "as the experiment starts"),
        "images": len(pictures),
        "repeats": repeats,
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "precision": str(trainer.precision or FULL[0]),
        "stages": stages,
        "total": sum(stages.values()),
        **vars(cost),
        "peak_memory_gb": peak_memory_gb(device),
    }
    print(*table(result), sep="\n")
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_json(output, result)
        print(output)


def table(result: Mapping[str, Any]) -> list[str]:
    """Return the printed lines: the setting, a row for each stage in milliseconds per image, and the other costs."""
    total = result["total"]
    rows = [(NAMES.get(stage, stage), seconds) for stage, seconds in result["stages"].items()] + [("total", total)]
    setting = (
        f"{result['network']} · weights: {result['weights']} · {result['images']} validation images, the median of "
        f"{result['repeats']} repeats · {result['device']}, {result['threads']} threads · {result['precision']}"
    )
    return [
        setting,
        "| stage     |   ms/image | share |",
        "| --------- | ---------- | ----- |",
        *(f"| {name:9} | {1000 * seconds:10.2f} | {seconds / total:5.0%} |" for name, seconds in rows),
        f"rest: resizing, decoding, and all that belongs to no stage; the whole without stops between stages: "
        f"{1000 * result['seconds_per_image']:.2f} ms/image",
        f"{result['gflops']:.2f} GFLOPs/image · {result['params'] / 1e6:.2f} M parameters "
        f"({result['trainable_params'] / 1e6:.2f} M trained) · peak memory {result['peak_memory_gb']:.2f} GB",
    ]


def _build(setting: Any, checkpoint: Path | None) -> "tuple[Network, LightningDataModule]":
    """Build the network, with the weights of a checkpoint if there is one, and the data without its proposals."""
    import torch
    from lightning import seed_everything

    from lit_cv.training.experiment import built

    data = setting.fit.data.init_args
    if "proposals" in data:
        data.proposals = None
    seed_everything(setting.fit.seed_everything, workers=True, verbose=False)
    experiment = built(setting).fit
    network: Network = experiment.model.network
    if checkpoint is not None:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        prefix = "network."
        network.load_state_dict({key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)})
    return network, experiment.data


def _images(data: "LightningDataModule", count: int) -> "list[torch.Tensor]":
    """Return the first images of the validation set, uint8 (3, H, W), at most `count`."""
    data.prepare_data()
    data.setup("validate")
    images: list[torch.Tensor] = []
    for batch, _ in data.val_dataloader():
        images += batch
        if len(images) >= count:
            break
    return images[:count]


def _device(accelerator: str) -> "torch.device":
    """Return the device of `trainer.accelerator`; `auto` is the GPU if there is one."""
    import torch

    if accelerator in ("cuda", "gpu") and not torch.cuda.is_available():
        raise UserError(f"--trainer.accelerator={accelerator}: this machine has no GPU; write cpu or auto.")
    if accelerator not in ("auto", "cpu", "cuda", "gpu"):
        raise UserError(f"--trainer.accelerator={accelerator}: bench measures on cpu and gpu; write one of them.")
    return torch.device("cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu")


def _precision(precision: Any, device: "torch.device") -> AbstractContextManager[Any]:
    import torch

    if precision in FULL:
        return nullcontext()
    if precision not in AUTOCAST:
        known = ", ".join([FULL[0], *AUTOCAST])
        raise UserError(f"--trainer.precision={precision}: bench measures {known}; write one of them.")
    return torch.autocast(device.type, getattr(torch, AUTOCAST[precision]))

"""`litcv bench CONFIG`: measure the cost of an experiment's network on validation images, by stage."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lit_cv.commands.parsers import Verbs, add_config, add_verb, refuse_missing_config
from lit_cv.errors import UsageError

NAMES = {"nms": "NMS"}


def add_parser(verbs: Verbs) -> None:
    """Add `bench`."""
    parser = add_verb(verbs, "bench", "measure a network's time by stage, FLOPs, parameters and memory",
                      "litcv bench experiments/voc/ssd_squeezenet.yaml --images 8 --data.root=data", _run)  # fmt: skip
    add_config(parser, "an experiment's YAML file, or the folder of a run")
    parser.add_argument("--images", type=int, default=4, help="number of validation images (default: 4)")
    parser.add_argument("--repeats", type=int, default=5, help="timed passes over each image (default: 5)")
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
    from lit_cv.models.compiling import is_compiled
    from lit_cv.runs.checkpoints import best_checkpoint
    from lit_cv.runs.files import write_json
    from lit_cv.training.experiment import parsed
    from lit_cv.training.measuring import FULL, build, device_of, images_of, precision_of

    if images < 1 or repeats < 1:
        raise UsageError(f"--images {images} --repeats {repeats}: give at least 1 of each.")
    checkpoint = best_checkpoint(config) if config.is_dir() else None
    file = config / "config.yaml" if config.is_dir() else config
    setting = parsed(["fit", "--config", str(file), *overrides])
    trainer = setting.fit.trainer
    device = device_of(trainer.accelerator)
    precision = precision_of(trainer.precision, device)
    network, data = build(setting, checkpoint)
    network.to(device)
    pictures = images_of(data, images)
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
        "compiled": is_compiled(network),
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
        f"rest: resizing, decoding, and all that belongs to no stage; the whole without stops between stages"
        f"{', compiled' if result['compiled'] else ''}: {1000 * result['seconds_per_image']:.2f} ms/image",
        f"{result['gflops']:.2f} GFLOPs/image · {result['params'] / 1e6:.2f} M parameters "
        f"({result['trainable_params'] / 1e6:.2f} M trained) · peak memory {result['peak_memory_gb']:.2f} GB",
    ]

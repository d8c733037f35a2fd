"""`litcv validate | test | predict`: evaluate a trained run."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from lit_cv.callbacks.predictions import PredictionWriter
from lit_cv.runs.checkpoints import best_checkpoint
from lit_cv.runs.files import read_yaml, write_json
from lit_cv.training.lightning_cli import LitCLI


def evaluate(verb: str, args: Sequence[str]) -> None:
    """Run `validate` or `test` on a finished run's folder (best checkpoint) or on LightningCLI's own options."""
    if args[:1] and not args[0].startswith("-"):
        folder = Path(args[0])
        cli = LitCLI([verb, *_of_run(folder), *args[1:]])
        metrics = {name: float(value) for name, value in cli.trainer.callback_metrics.items()}
        if cli.trainer.is_global_zero:
            write_json(folder / f"{verb}.json", metrics)
    else:
        LitCLI([verb, *args])


def predict(run: Path, images: Path, output: Path, score_threshold: float) -> None:
    """Draw what the network of a run finds on a folder of images.

    Writes one PNG an image and `predictions.json` into `output`.
    """
    config = read_yaml(run / "config.yaml")
    config["data"] = {"class_path": "datamodules.ImageFolderDataModule", "init_args": {"root": str(images)}}
    writer = PredictionWriter(output, score_threshold=score_threshold)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(yaml.safe_dump(config))
        checkpoint = ["--ckpt_path", str(best_checkpoint(run)), "--return_predictions=false"]
        LitCLI(["predict", "--config", str(path), *checkpoint], callbacks=[writer])
    print(f"predictions: {output}")


def _of_run(folder: Path) -> list[str]:
    """Return the options of an evaluation of a run, which leaves its pictures in the run's folder."""
    checkpoint = ["--ckpt_path", str(best_checkpoint(folder))]
    return ["--config", str(folder / "config.yaml"), *checkpoint, f"--trainer.default_root_dir={folder}"]

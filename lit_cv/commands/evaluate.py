"""`litcv validate | test | predict`: evaluate a trained run; `litcv evaluate`: its predictions, or those of others."""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from lit_cv.commands.fit import prepare_process
from lit_cv.commands.parsers import Verbs, add_config, add_verb, refuse_missing_config
from lit_cv.errors import UsageError, UserError
from lit_cv.runs.folder import require_run
from lit_cv.runs.near import did_you_mean_path

UNPARSED = ("validate", "test")
RAW, EMA, TTA = "raw", "ema", "tta"


def add_parser(verbs: Verbs) -> None:
    """Add `validate` and `test`, whose options LightningCLI parses, `predict` and `evaluate`."""
    for verb, split, option in (("validate", "validation", " [--data.batch_size=8]"), ("test", "test", "")):
        summary = f"measure a run's best checkpoint on the {split} set"
        parser = add_verb(verbs, verb, summary, f"litcv {verb} runs/quickstart/1f2e3d4c5b{option}")
        parser.usage = f"litcv {verb} RUN [--weights {{raw,ema}}] [--tta SETTINGS] [--SETTING=VALUE ...]"
        parser.description = (
            f"{summary}\n\nPrints the metrics and writes them to RUN/{verb}.json: with --weights ema to\n"
            f"RUN/{verb}_ema.json, with --tta to RUN/{verb}_tta.json. --SETTING=VALUE overrides a\n"
            "setting of the run's experiment."
        )
        parser.add_argument("run_folder", nargs="?", metavar="RUN", help="folder of a trained run")
        _add_choices(parser)
    parser = add_verb(verbs, "predict", "draw what a run's network finds on images",
                      "litcv predict runs/quickstart/1f2e3d4c5b photos/ --output found/", _predict)  # fmt: skip
    parser.add_argument(
        "run_folder", type=Path, metavar="RUN", help="folder of a trained run, or of a group of runs: the newest"
    )
    parser.add_argument(
        "images", type=Path, metavar="IMAGES", help="folder of images, with its subfolders, one image, or a video"
    )
    parser.add_argument("--output", type=Path, help="folder for pictures and predictions (default: RUN/predictions)")
    _add_choices(parser)
    parser.add_argument("--score-threshold", type=float, default=0.3, help="lowest score that is drawn (default: 0.3)")
    parser = add_verb(verbs, "evaluate", "score predictions from their files, without a network",
                      "litcv evaluate detections.json experiments/coco/faster_rcnn.yaml", _evaluate_files)  # fmt: skip
    parser.add_argument(
        "predictions", type=Path, metavar="PREDICTIONS",
        help="folder that a run has written, RUN/predictions/val, or COCO results of any program: a JSON file",
    )  # fmt: skip
    add_config(parser, "YAML file of the experiment or run whose data and metrics are used")
    parser.add_argument(
        "--split", choices=["val", "test"], help="images of a JSON file (default: val); a folder knows its own"
    )
    parser.add_argument("--output", type=Path, help="JSON file for the metrics; without it they are only printed")


def run_unparsed(verb: str, args: Sequence[str]) -> int:
    """Carry out `litcv validate ARGS` or `litcv test ARGS`."""
    if args[:1] and not args[0].startswith("-"):
        require_run(Path(args[0]))
    choices, args = weights_and_tta(args)
    prepare_process(args)
    evaluate(verb, args, choices.weights, choices.tta)
    return 0


def _add_choices(parser: argparse.ArgumentParser) -> None:
    words = "ema: the averaged weights of the checkpoint (lit_cv.callbacks.EMA) in the place of its own (raw)"
    parser.add_argument("--weights", choices=(RAW, EMA), default=RAW, help=words)
    parser.add_argument("--tta", metavar="SETTINGS", help="test-time augmentation, the setting model.tta: '{}' sees "
                        "each image also mirrored, '{flip: false, scales: [0.75, 1.0]}' at two scales")  # fmt: skip


def weights_and_tta(args: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the weights and the test-time augmentation that the arguments ask for, and the other arguments."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    _add_choices(parser)
    try:
        return parser.parse_known_args(args)
    except argparse.ArgumentError as error:
        raise UsageError(f"{error.argument_name}: {error.message}.") from None


def evaluate(verb: str, args: Sequence[str], weights: str = RAW, tta: str | None = None) -> None:
    """Run `validate` or `test` on a finished run's folder (best checkpoint) or on LightningCLI's own options.

    Args:
        verb: `validate` or `test`.
        args: The folder and LightningCLI's options, or these alone.
        weights: `raw` or `ema`; the latter leaves its files beside those of the former.
        tta: Value of `model.tta` in YAML, which does so too; None is the run's own.
    """
    from lit_cv.runs.files import write_json
    from lit_cv.tasks.tta.settings import tta_record
    from lit_cv.training.lightning_cli import LitCLI
    from lit_cv.training.scoring.kept import FOLDER, KeptPredictions

    if args[:1] and not args[0].startswith("-"):
        folder, others = Path(args[0]), [*args[1:], *_tta_setting(tta)]
        kinds = [EMA] * (weights == EMA) + [TTA] * any(option.startswith("--model.tta") for option in others)
        kept = KeptPredictions(folder / "_".join([FOLDER, *kinds]))
        cli = LitCLI([verb, *_options_of_run(folder), *others], callbacks=[kept], averaged=weights == EMA)
        metrics = {name: float(value) for name, value in sorted(cli.trainer.callback_metrics.items())}
        if cli.trainer.is_global_zero:
            file = folder / f"{'_'.join([verb, *kinds])}.json"
            write_json(file, metrics | tta_record(cli.model))
            if cli.model.tta is not None:
                print(f"test-time augmentation: {cli.model.tta}")
            _tell(metrics, file)
    else:
        LitCLI([verb, *args, *_tta_setting(tta)], averaged=weights == EMA)


def _tta_setting(tta: str | None) -> list[str]:
    return [] if tta is None else [f"--model.tta={tta}"]


def _options_of_run(folder: Path) -> list[str]:
    """Return the options for evaluating a run, with the run's folder as the place of its pictures."""
    from lit_cv.runs.checkpoints import best_checkpoint

    checkpoint = ["--ckpt_path", str(best_checkpoint(folder))]
    place = f"--trainer.default_root_dir={folder}"
    return ["--config", str(folder / "config.yaml"), *checkpoint, place, "--verbose=false"]


def _tell(metrics: Mapping[str, float], file: Path | None) -> None:
    """Print the metrics, for which Lightning's own table has 17 digits."""
    width = max(map(len, metrics), default=0)
    for name, value in metrics.items():
        print(f"{name.ljust(width)}  {value:.4g}")
    if file:
        print(f"metrics: {file}", flush=True)


def _evaluate_files(options: argparse.Namespace) -> int:
    refuse_missing_config(["--config", str(options.config)])
    if not options.predictions.exists():
        raise UserError(f"{options.predictions}: there is no such file or folder; give predictions.")
    if options.predictions.is_dir():
        from lit_cv.predictions.files import Predictions

        Predictions.open(options.predictions)  # ahead of the imports, which take seconds
    from lit_cv.runs.files import write_json
    from lit_cv.training.experiment import parsed
    from lit_cv.training.noise import quiet
    from lit_cv.training.scoring.rescoring import rescore

    experiment = parsed(["fit", "--config", str(options.config), *options.overrides]).fit
    with quiet():
        metrics = rescore(options.predictions, experiment, options.split)
    if options.output:
        write_json(options.output, metrics)
    _tell(metrics, options.output)
    return 0


def _predict(options: argparse.Namespace) -> int:
    run = _newest_run(options.run_folder)
    require_run(run)
    output = options.output or run / "predictions"
    if not 0 <= options.score_threshold <= 1:
        raise UsageError(f"--score-threshold {options.score_threshold:g}: scores are from 0 to 1; give such a number.")
    if output.exists() and not output.is_dir():
        raise UserError(f"--output {output}: is a file; give the path of a folder.")
    if not options.images.exists():  # ahead of the imports, which take seconds
        near = did_you_mean_path(options.images) or "."
        raise UserError(f"{options.images} does not exist: name an image or a folder of images{near}")
    predict(run, options.images, output, options.score_threshold, options.weights, options.tta)
    return 0


def _newest_run(folder: Path) -> Path:
    """Return a run's folder as it is, or the run of a group that has trained last."""
    runs = {file.parent.parent: file.stat().st_mtime for file in folder.glob("*/checkpoints/*.ckpt")}
    if (folder / "config.yaml").exists() or not runs:
        return folder
    newest = max(runs, key=lambda run: runs[run])
    print(f"run: {newest}")
    return newest


def predict(
    run: Path, images: Path, output: Path, score_threshold: float, weights: str = RAW, tta: str | None = None
) -> None:
    """Draw what the network of a run finds on a folder of images, on one image or on the frames of a video.

    Writes into `output` one PNG for each image, `predictions.json` with what is drawn, and with all scores `coco.json`
    and the folder `predict` (see `lit_cv.predictions.files.Predictions`).
    """
    from datamodules.video import is_video
    from lit_cv.callbacks.predictions import PredictionWriter
    from lit_cv.runs.checkpoints import best_checkpoint
    from lit_cv.runs.files import read_yaml, write_yaml
    from lit_cv.training.lightning_cli import LitCLI
    from lit_cv.training.scoring.kept import KeptPredictions

    config = read_yaml(run / "config.yaml")
    bits = (config["data"].get("init_args") or {}).get("bits")  # of pictures of 16 bits, which are read as in training
    settings = {"root": str(images), "bits": bits}
    kind = "video.VideoDataModule" if is_video(images) else "ImageFolderDataModule"
    config["data"] = {"class_path": f"datamodules.{kind}", "init_args": settings}
    writer = PredictionWriter(output, score_threshold=score_threshold)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        write_yaml(path, config)
        checkpoint = ["--ckpt_path", str(best_checkpoint(run)), "--return_predictions=false"]
        command = ["predict", "--config", str(path), *checkpoint, *_tta_setting(tta)]
        LitCLI(command, callbacks=[KeptPredictions(output), writer], averaged=weights == EMA)
    print(f"predictions: {output}")

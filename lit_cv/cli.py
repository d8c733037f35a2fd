"""The front door: verbs, their help, and one clear sentence for every expected failure.

Nothing heavy is imported here; the verbs that compute import what they need.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from lit_cv import __version__
from lit_cv.commands import report, sweep
from lit_cv.commands.shapes import _shapes
from lit_cv.errors import UsageError, UserError

TRAINING_VERBS = {
    "fit": (
        "train an experiment in a run folder of its own",
        "litcv fit --config experiments/quickstart/ssd.yaml --model.loss_weights.box=2.0 [--resume]",
        "Every setting of the experiment can be overridden with a dotted option. --resume goes on from the last\n"
        "checkpoint of the same run, and starts it where there is none.\n"
        "All settings with their values: litcv fit --config FILE --print_config",
    ),
    "validate": (
        "measure a run's best checkpoint on the validation set",
        "litcv validate runs/quickstart/1f2e3d4c5b [--data.batch_size=8]",
        "Prints the metrics and writes validate.json into the run's folder.",
    ),
    "test": (
        "measure a run's best checkpoint on the test set",
        "litcv test runs/quickstart/1f2e3d4c5b",
        "Prints the metrics and writes test.json into the run's folder.",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; return 0 on success, 2 on bad usage, 1 otherwise."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        if args[:1] and args[0] in TRAINING_VERBS:
            return _training(args[0], args[1:])
        parser = _parser()
        options, overrides = parser.parse_known_args(args)
        if "overrides" in options:
            options.overrides = overrides  # dotted options, which LightningCLI parses
        elif overrides:
            parser.error(f"unrecognized arguments: {' '.join(overrides)}")
        run: Callable[[argparse.Namespace], int] = options.run
        return run(options)
    except UserError as error:
        # an error from a data-loading worker arrives with the worker's traceback before its sentence
        sentence = str(error).strip().splitlines()[-1].removeprefix("lit_cv.errors.UserError: ")
        print(f"litcv: error: {sentence}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("litcv: interrupted; nothing is lost, the same command goes on.", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "litcv", description="Controlled ablations of computer-vision systems.", epilog="litcv VERB --help says more."
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    for verb, (summary, _, _) in TRAINING_VERBS.items():
        verbs.add_parser(verb, help=summary)  # listed here, parsed by LightningCLI
    _add_predict(verbs)
    sweep.add_parser(verbs)
    report.add_parser(verbs)
    _add_bench(verbs)
    _add_proposals(verbs)
    _add_doctor(verbs)
    _add_browse(verbs)
    _add_shapes(verbs)
    return parser


def _verb(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str, example: str,
          run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:  # fmt: skip
    formatter = argparse.RawDescriptionHelpFormatter
    parser = verbs.add_parser(
        name, help=summary, description=summary, epilog=f"example:\n  {example}", formatter_class=formatter
    )
    parser.set_defaults(run=run)
    return parser


def _training(verb: str, args: list[str]) -> int:
    summary, example, more = TRAINING_VERBS[verb]
    if not args or "--help" in args or "-h" in args:
        print(f"usage: litcv {verb} ...\n\n{summary}\n\n{more}\n\nexample:\n  {example}")
        return 0 if args else 2
    # A run has a W&B service of its own: one that a notebook or another run has left here writes files elsewhere.
    os.environ.pop("WANDB_SERVICE", None)
    from lit_cv.training import slurm_task

    if slurm_task.is_task():
        slurm_task.hold_signals()  # before the imports, which take seconds
    _refuse_missing_config(args)
    from lit_cv import process_guard

    process_guard.die_with_first_rank()
    if "WANDB_SWEEP_ID" in os.environ and os.getpgrp() == os.getpid():  # started by a W&B agent
        process_guard.end_group_with_leader()
    if verb != "fit":
        from lit_cv.commands.evaluate import evaluate

        evaluate(verb, args)
    elif "--print_config" in args:
        from lit_cv.training.lightning_cli import LitCLI

        LitCLI([verb, *args])
    else:
        from lit_cv.commands.fit import fit

        fit([verb, *(arg for arg in args if arg != "--resume")], resume="--resume" in args)
    return 0


def _refuse_missing_config(args: Sequence[str]) -> None:
    from lit_cv.runs.settings import merged_arguments

    merged_arguments(args)


def _add_predict(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _verb(verbs, "predict", "draw what a run's network finds on a folder of images",
                   "litcv predict runs/quickstart/1f2e3d4c5b photos/ --output found/", _predict)  # fmt: skip
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of a trained run")
    parser.add_argument("images", type=Path, metavar="IMAGES", help="folder of images")
    parser.add_argument("--output", type=Path, help="where pictures and predictions.json go (RUN/predictions)")
    parser.add_argument("--score-threshold", type=float, default=0.3, help="draw detections from this score on (0.3)")


def _predict(options: argparse.Namespace) -> int:
    from lit_cv.commands.evaluate import predict

    output = options.output or options.run_folder / "predictions"
    predict(options.run_folder, options.images, output, options.score_threshold)
    return 0


def _add_bench(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _verb(verbs, "bench", "measure what a network costs an image: seconds by stage, arithmetic, memory",
                   "litcv bench experiments/voc/ssd_squeezenet.yaml --images 8 --data.root=data", _bench)  # fmt: skip
    parser.add_argument("config", type=Path, metavar="CONFIG", help="an experiment's YAML, or the folder of a run")
    parser.add_argument("--images", type=int, default=4, help="images of the validation set (4)")
    parser.add_argument("--repeats", type=int, default=5, help="timed passes over each image (5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there as well")
    parser.set_defaults(overrides=())


def _bench(options: argparse.Namespace) -> int:
    if not options.config.is_dir():
        _refuse_missing_config(["--config", str(options.config)])
    from lit_cv.commands.bench import run_bench

    run_bench(options.config, options.overrides, images=options.images, repeats=options.repeats, output=options.json)
    return 0


def _add_proposals(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _verb(verbs, "proposals", "compute the proposals of an experiment's images ahead of its runs",
                   "litcv proposals experiments/voc/fast_rcnn_squeezenet.yaml --data.proposals.mode=quality",
                   _proposals)  # fmt: skip
    parser.add_argument("config", type=Path, metavar="CONFIG", help="an experiment's YAML")
    parser.set_defaults(overrides=())


def _proposals(options: argparse.Namespace) -> int:
    _refuse_missing_config(["--config", str(options.config)])
    from lit_cv.commands.proposals import compute_proposals

    compute_proposals(options.config, options.overrides)
    return 0


def _add_doctor(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _verb(verbs, "doctor", "list every defect of an experiment's data, with its file",
                   "litcv doctor experiments/voc/ssd_squeezenet.yaml --data.root=data", _doctor)  # fmt: skip
    parser.add_argument("config", type=Path, metavar="CONFIG", help="an experiment's YAML")
    parser.set_defaults(overrides=())


def _doctor(options: argparse.Namespace) -> int:
    _refuse_missing_config(["--config", str(options.config)])
    from lit_cv.commands.doctor import run_doctor

    return run_doctor(options.config, options.overrides)


def _add_browse(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _verb(verbs, "browse", "write a page of an experiment's training samples with their targets drawn",
                   "litcv browse experiments/voc/ssd_squeezenet.yaml --data.root=data", _browse)  # fmt: skip
    parser.add_argument("config", type=Path, metavar="CONFIG", help="an experiment's YAML")
    parser.add_argument("--split", choices=["train", "val"], default="train", help="train: augmented; val: as they are")
    parser.add_argument("--epoch", type=int, default=0, help="whose order and augmentation are shown (0)")
    parser.add_argument("--samples", type=int, default=24, help="how many samples (24)")
    parser.add_argument("--output", type=Path, help="the HTML file (browse/<experiment>-<split>.html)")
    parser.set_defaults(overrides=())


def _browse(options: argparse.Namespace) -> int:
    _refuse_missing_config(["--config", str(options.config)])
    if options.samples < 1 or options.epoch < 0:
        raise UsageError(f"--samples {options.samples} --epoch {options.epoch}: give at least 1 and 0.")
    from lit_cv.commands.browse import write_page

    write_page(
        options.config,
        options.overrides,
        split=options.split,
        epoch=options.epoch,
        samples=options.samples,
        output=options.output or Path("browse") / f"{options.config.stem}-{options.split}.html",
    )
    return 0


def _add_shapes(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _verb(verbs, "shapes", "write a small generated data set in an official layout",
                   "litcv shapes voc data/shapes --train 400", _shapes)  # fmt: skip
    parser.add_argument("layout", choices=["voc", "coco", "visual_genome", "mpii", "lsp"],
                        help="voc: scenes of shapes; coco: these and people; visual_genome: these with phrases; "
                             "others: people")  # fmt: skip
    parser.add_argument("folder", type=Path, metavar="DIR", help="where it is written")
    parser.add_argument("--train", type=int, default=400, help="number of training images (400)")
    parser.add_argument("--val", type=int, default=100, help="number of validation images (100)")
    parser.add_argument("--size", type=int, default=128, help="side of an image in pixels (128)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (0)")

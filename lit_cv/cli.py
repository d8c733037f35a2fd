"""The front door: verbs, their help, and one clear sentence for every expected failure.

Nothing heavy is imported here; the verbs that compute import what they need.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from lit_cv import __version__
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
    _add_sweep(verbs)
    _add_report(verbs)
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


def _add_sweep(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    from lit_cv.ablation.executors.slurm_options import Resources

    parser = _verb(verbs, "sweep", "run every trial of a W&B sweep file; run it again and it finishes what is missing",
                   "litcv sweep sweeps/quickstart.yaml --workers 2", _sweep)  # fmt: skip
    parser.add_argument("file", type=Path, metavar="FILE", help="a W&B sweep file")
    parser.add_argument("--executor", choices=["local", "slurm", "wandb"], default="local", help="where trials run")
    parser.add_argument("--workers", type=int, help="trials at once (one a GPU, or one without GPUs)")
    parser.add_argument("--gpus-per-run", type=int, default=1,
                        help="GPUs that each trial sees (1) and trains on, unless its experiment sets trainer.devices; "
                             "they share its batches")  # fmt: skip
    parser.add_argument("--runs-per-gpu", type=int, help="small trials that share a GPU (1)")
    parser.add_argument("--retry-failed", action="store_true", help="also run trials that failed in an earlier call")
    parser.add_argument("--runs", type=int, help="how many runs a random or bayes sweep without `run_cap` has")
    parser.add_argument("--dry-run", action="store_true", help="print the trials (or Slurm's script), start nothing")
    parser.add_argument("--measure", action="store_true", help="time some steps of the first trial for the estimate")
    parser.add_argument("--status", action="store_true", help="print the state of every run, start nothing")
    parser.add_argument("--sync", action="store_true", help="upload what W&B has not got of the runs, start nothing")
    Resources.add_arguments(parser)


def _sweep(options: argparse.Namespace) -> int:
    from lit_cv.ablation.executors.slurm_options import Resources
    from lit_cv.commands.sweep import run_status, run_sweep, run_sync

    if options.status:
        return run_status(options.file, options.runs)
    if options.sync:
        return run_sync(options.file, options.runs)

    def preflight(trials: Sequence[Sequence[str]], metric: str | None) -> None:
        from lit_cv.training.preflight import check_trials

        check_trials(trials, metric)

    return run_sweep(
        options.file,
        executor=options.executor,
        workers=options.workers,
        gpus_per_run=options.gpus_per_run,
        runs_per_gpu=options.runs_per_gpu,
        runs=options.runs,
        retry_failed=options.retry_failed,
        resources=Resources.of(options),
        dry_run=options.dry_run,
        measure=options.measure,
        preflight=preflight,
    )


def _add_report(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = _verb(verbs, "report", "turn the runs of a sweep into a table and pictures, if they are comparable",
                   "litcv report runs/quickstart --metric val/map_50", _report)  # fmt: skip
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUNS", help="folder of a sweep's runs")
    parser.add_argument("--wandb", action="append", default=[], metavar="SOURCE",
                        help="folder of W&B's offline logs, or ENTITY/PROJECT/SWEEP on its server")  # fmt: skip
    parser.add_argument("--metric", help="metric of the table (the sweep's)")
    parser.add_argument("--baseline", help='arm that differences are taken to, as "key=value" (the first arm)')
    parser.add_argument("--published", type=Path, help="CSV of published numbers (sweeps/published/<sweep>.csv)")
    parser.add_argument("--output", type=Path, help="where the report goes (RUNS/report)")
    parser.add_argument("--force", action="store_true", help="report runs that are not comparable all the same")
    parser.add_argument("--watch", type=int, nargs="?", const=10, metavar="SECONDS",
                        help="write the report anew every SECONDS (10) until all runs are finished")  # fmt: skip


def _report(options: argparse.Namespace) -> int:
    if options.watch is not None and options.watch < 1:
        raise UsageError(f"--watch {options.watch}: give a number of seconds from 1 on.")
    from lit_cv.commands.report import run_report
    from lit_cv.tracking.restore import restore

    if not options.runs and not options.wandb:
        raise UsageError("report: name a folder of runs, such as runs/quickstart, or --wandb ENTITY/PROJECT/SWEEP.")
    return run_report(
        [*options.runs, *map(restore, options.wandb)],
        metric=options.metric,
        baseline=options.baseline,
        force=options.force,
        output=options.output,
        published=options.published,
        watch=options.watch,
    )


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

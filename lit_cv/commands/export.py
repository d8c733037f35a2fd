"""`litcv export RUN`: write a run's network, or its predictions, for other programs."""

import argparse
from pathlib import Path

from lit_cv import __version__
from lit_cv.commands.parsers import Verbs, add_verb
from lit_cv.errors import UsageError
from lit_cv.runs.folder import require_run

PREDICTIONS = ["val", "val_best", "test"]
PREDICTIONS += [f"predictions_{kind}/{split}" for kind in ("ema", "tta", "ema_tta") for split in ("val", "test")]
FILES = {"onnx": "network.onnx", "torch-export": "network.pt2"}


def add_parser(verbs: Verbs) -> None:
    """Add `export`."""
    parser = add_verb(verbs, "export", "write a run's network as one file, or its predictions for evaluation servers",
                      "litcv export runs/quickstart/1f2e3d4c5b --network onnx", _run)  # fmt: skip
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of a trained run")
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--results", choices=["coco", "voc", "png", "mpii"], help="write its predictions in this form")
    kind.add_argument("--network", choices=FILES, help="write the network of the best checkpoint in this form")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="file (default: RUN/network.onnx or RUN/network.pt2) or folder (default: RUN/results)",
    )
    parser.add_argument(
        "--predictions", choices=PREDICTIONS, default="val", metavar="NAME",
        help="folder in RUN/predictions: that of the latest validation (val), of best.ckpt in training (val_best), or "
             "of the test (test); or one that --weights ema or --tta has left: predictions_ema/val",
    )  # fmt: skip


def _run(options: argparse.Namespace) -> int:
    require_run(options.run_folder)
    if options.results:
        from lit_cv.training.scoring.results import export_results

        files = export_results(options.run_folder, options.results, options.predictions, options.output)
        print(f"results: {files[0] if len(files) == 1 else f'{len(files)} files in {files[0].parent}'}")
        return 0
    export_network(options.run_folder, options.network, options.output)
    return 0


def export_network(run: Path, form: str, output: Path | None = None) -> Path:
    """Write the network of a run's best checkpoint; return the file.

    Args:
        run: Folder of the run.
        form: `onnx` or `torch-export`.
        output: The file, with the suffix of its form; None: in the run's folder.

    Raises:
        UserError: The run has not trained, or its network cannot be exported.
    """
    file = output or run / FILES[form]
    suffix = Path(FILES[form]).suffix
    if file.suffix != suffix:
        raise UsageError(f"--output {file}: the name of a file of --network {form} ends in {suffix}; change it.")
    if file.is_dir():
        raise UsageError(f"--output {file}: is a folder; give the path of a file.")

    import torch

    from lit_cv.exporting.onnx_file import example_of, write_onnx
    from lit_cv.exporting.program import exported_program, name_of
    from lit_cv.exporting.torch_file import write_program
    from lit_cv.runs.checkpoints import best_checkpoint
    from lit_cv.training.experiment import parsed
    from lit_cv.training.measuring import build

    checkpoint = best_checkpoint(run)
    network, _ = build(parsed(["fit", "--config", str(run / "config.yaml")]), checkpoint)
    classes = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True).get("class_names", [])
    notes = {"network": name_of(network), "class_names": list(classes), "lit_cv": __version__}
    program = exported_program(network)
    file.parent.mkdir(parents=True, exist_ok=True)
    write = write_onnx if form == "onnx" else write_program
    write(program, notes, file)
    print(f"network: {file}")
    if form == "onnx":
        print(f"next: python {example_of(file)} {file} IMAGE")
    return file

"""`litcv analyze RUN`: find what a run gets right and wrong, from its predictions, on one page."""

import argparse
from pathlib import Path

from lit_cv.commands.parsers import Verbs, add_verb
from lit_cv.errors import UsageError
from lit_cv.runs.folder import require_run

SPOKEN = 6  # sentences on the console


def add_parser(verbs: Verbs) -> None:
    """Add `analyze`."""
    parser = add_verb(verbs, "analyze", "find what a run gets right and wrong, from its predictions, on one page",
                      "litcv analyze runs/quickstart/1f2e3d4c5b", _run)  # fmt: skip
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("other", type=Path, nargs="?", metavar="OTHER",
                        help="a second run: compare it with RUN on the same images")  # fmt: skip
    parser.add_argument(
        "--split", choices=["val", "val_best", "test"], default="val",
        help="folder in RUN/predictions: of the latest validation (val), of best.ckpt in training, or of the test",
    )  # fmt: skip
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="folder of the analysis (RUN/analysis, or OTHER/analysis_beside_<id of RUN>)",
    )


def _run(options: argparse.Namespace) -> int:
    for folder in filter(None, (options.run_folder, options.other)):
        require_run(folder)
    if options.other and options.other.resolve() == options.run_folder.resolve():
        raise UsageError(f"{options.other}: is RUN itself; give another run to compare it with.")
    if options.output and options.output.is_file():
        raise UsageError(f"--output {options.output}: is a file; give a folder.")
    from lit_cv.runs.prose import say
    from lit_cv.training.noise import quiet
    from lit_cv.training.scoring.analyzing import analyze_run, compare_runs

    output = options.output or _default(options)
    with quiet():
        if options.other:
            analysis, page = compare_runs((options.run_folder, options.other), options.split, output)
        else:
            analysis, page = analyze_run(options.run_folder, options.split, output)
    for sentence in analysis.sentences[:SPOKEN]:
        say(f"- {sentence}")
    print(f"written: {page}")
    return 0


def _default(options: argparse.Namespace) -> Path:
    folder: Path = options.run_folder / "analysis"
    if options.other:
        folder = options.other / f"analysis_beside_{options.run_folder.resolve().name}"
    return folder if options.split == "val" else folder.with_name(f"{folder.name}_{options.split}")

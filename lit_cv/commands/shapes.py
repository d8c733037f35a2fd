"""`litcv shapes LAYOUT DIR`: write a small generated data set in an official layout."""

import argparse
from pathlib import Path

from lit_cv.commands.parsers import Verbs, add_verb


def add_parser(verbs: Verbs) -> None:
    """Add `shapes`."""
    parser = add_verb(verbs, "shapes", "write a small generated data set in an official layout",
                      "litcv shapes voc data/shapes --train 400", _run)  # fmt: skip
    parser.add_argument("layout", choices=["voc", "coco", "visual_genome", "mpii", "lsp"],
                        help="voc: scenes of shapes; coco: shapes and people; visual_genome: shapes with phrases; "
                             "mpii, lsp: people")  # fmt: skip
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder that is written")
    parser.add_argument("--train", type=int, default=400, help="number of training images (default: 400)")
    parser.add_argument("--val", type=int, default=100, help="number of validation images (default: 100)")
    parser.add_argument("--size", type=int, default=128, help="side of an image in pixels (default: 128)")
    parser.add_argument("--seed", type=int, default=0, help="equal seeds give equal bytes (default: 0)")
    parser.add_argument("--touching", type=float, default=0.0,
                        help="probability that a shape touches one of its class (default: 0)")  # fmt: skip


def _run(options: argparse.Namespace) -> int:
    from datamodules.coco.generated import write_coco
    from datamodules.pose.generated import write_lsp, write_mpii
    from datamodules.shapes.settings import Shapes
    from datamodules.visual_genome.generated import write_visual_genome
    from datamodules.voc.generated import write_voc

    write = {
        "voc": write_voc,
        "coco": write_coco,
        "visual_genome": write_visual_genome,
        "mpii": write_mpii,
        "lsp": write_lsp,
    }[options.layout]
    settings = Shapes(options.train, options.val, options.size, options.seed, options.touching)
    written = write(options.folder, settings)
    print(f"written: {written}")
    return 0

"""`litcv shapes LAYOUT DIR`: write a small generated data set in an official layout."""

import argparse


def _shapes(options: argparse.Namespace) -> int:
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
    written = write(options.folder, Shapes(options.train, options.val, options.size, options.seed))
    print(f"written: {written}")
    return 0

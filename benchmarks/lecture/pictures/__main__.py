"""Draw the pictures of the methods: all, or those that are named."""

import argparse

from benchmarks.lecture.pictures import heads, localization, pose, regions, segmentation, systems
from benchmarks.lecture.pictures.style import save

DRAWINGS = {
    "sliding_window_segmentation": segmentation.sliding_window_segmentation,
    "full_resolution": segmentation.full_resolution,
    "upsampling": segmentation.upsampling,
    "checkerboard": segmentation.checkerboard,
    "loss_weight": localization.loss_weight,
    "box_per_class": localization.box_per_class,
    "freezing": localization.freezing,
    "pose_losses": pose.pose_losses,
    "proposals_voc": regions.proposals_voc,
    "proposals_coco": regions.proposals_coco,
    "inward_offsets": regions.inward_offsets,
    "shared_features": regions.shared_features,
    "stages_after_training": regions.stages_after_training,
    "multi_task_training": regions.multi_task_training,
    "speed_accuracy": systems.speed_accuracy,
    "speed_accuracy_real": systems.speed_accuracy,
    "base_networks": systems.base_networks,
    "dense_captioning": systems.dense_captioning,
    "components": systems.components,
    "region_pooling": heads.region_pooling,
    "four_losses": heads.four_losses,
    "anchors": heads.anchors,
    "mask_branch": heads.mask_branch,
    "mask_loss": heads.mask_loss,
    "pose_head": heads.pose_head,
}


def main() -> None:
    """Draw the named pictures and print their files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="pictures to draw (default: all)")
    for name in parser.parse_args().names or DRAWINGS:
        if name not in DRAWINGS:
            parser.error(f"there is no picture {name}: choose from {', '.join(DRAWINGS)}")
        print(save(name, DRAWINGS[name]))


if __name__ == "__main__":
    main()

"""The text of an experiment and a sweep for data in a recognized form."""

import json
import statistics
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from PIL import Image

from datamodules.forms.form import Form, Task, as_yaml
from datamodules.loading.picture_folders import folders_below, is_picture
from lit_cv.commands.starters.pretrained import Weights

BACKBONE = "squeezenet1_0"
BATCH = 4
EPOCHS = 30
EXAMINED = 64  # pictures
SIDES = (96, 320, 480)  # smallest and largest shorter side, largest longer side, in pixels: what two cores train
STEP = 32  # pixels
SIGMA = 0.05  # of joints whose spread nobody has measured, between those of COCO's eyes and hips
COCO_JOINTS = ("nose", 17)  # the first joint, and their number: the task knows their spread


@dataclass(frozen=True)
class Kind:
    """What the experiments of a task have in common.

    Attributes:
        title: Beginning of the first line.
        task_class: Class in ``lit_cv.tasks``.
        network: Template of the network.
        metric: Metric of the sweep.
        question: Question of the sweep.
        parameter: Setting that the sweep changes.
        arms: Its values.
        rate: Learning rate.
    """

    title: str
    task_class: str
    network: str
    metric: str
    question: str = "Does mirroring training images help?"
    parameter: str = "data.augmentation"
    arms: tuple[Any, ...] = ("none", "flip")
    rate: str = "6.0e-4"


_RATES = ("Which learning rate is better?", "model.optimizer.lr")
KINDS: dict[str, Kind] = {
    "detection": Kind("Faster R-CNN", "DetectionTask", "detection", "val/map"),
    "instances": Kind("Mask R-CNN", "InstanceTask", "instances", "val/mask_map"),
    "segmentation": Kind("FCN", "SegmentationTask", "segmentation", "val/miou", rate="3.0e-4"),
    "keypoints": Kind("Mask R-CNN with joints", "InstanceTask", "keypoints", "val/oks_map"),
    "pose": Kind("Joint regression", "PoseTask", "pose", "val/pck_20", *_RATES, (1.0e-4, 2.0e-4), "2.0e-4"),
    "captioning": Kind(
        "DenseCap", "CaptioningTask", "captioning", "val/densecap_map", *_RATES, (2.5e-4, 5.0e-4), "5.0e-4"
    ),
}


@dataclass(frozen=True)
class Starter:
    """An experiment and a sweep to start from.

    Attributes:
        folder: Folder of the data.
        form: Form of the data.
        task: What to learn.
        file: The experiment's file, as commands name it.
        group: Name of the group of its runs.
        weights: Those of the backbone.
    """

    folder: Path
    form: Form
    task: Task
    file: Path
    group: str
    weights: Weights

    @property
    def kind(self) -> Kind:
        """What experiments of this task have in common."""
        crops = self.task == "pose" and "Keypoint" not in self.form.data[self.task]["class_path"]
        return KINDS["keypoints" if self.task == "pose" and not crops else self.task]

    def experiment(self) -> str:
        """Return the text of the experiment."""
        count, (short, long) = self._pictures
        steps = min(6000, max(600, 100 * round(EPOCHS * count / BATCH / 100)))
        batch = max(1, min(BATCH, count * 4 // 5))
        flipped = self.kind.parameter == "data.augmentation"
        joints = len(self.form.joints)
        return _template("experiment").render(
            **vars(self.kind) | {"network": f"{self.kind.network}.yaml.jinja"},
            folder=self.folder,
            form=self.form.name,
            file=self.file,
            group=self.group,
            data=as_yaml(self.form.data[self.task]),
            weights=self._weights,
            short=short,
            long=long,
            anchors=[short // 8, short // 4, short // 2],
            joints=joints,
            sigmas=None if (*self.form.joints[:1], joints) == COCO_JOINTS else [SIGMA] * joints,
            steps=steps,
            interval=steps // 10,
            epochs=max(1, steps * batch // max(1, count)),
            batch=batch,
            augmented=flipped,
            clipped=self.task == "captioning",
        )

    def sweep(self) -> str:
        """Return the text of the sweep."""
        arms = json.dumps(list(self.kind.arms))
        return _template("sweep").render(
            **vars(self.kind) | {"arms": arms}, file=str(self.file), group=f"{self.group}_sweep"
        )

    @property
    def _weights(self) -> str:
        value = self.weights.value
        if self.weights.reason:
            return (
                f"null  # {self.weights.reason}; imagenet, or the path of a state dict, learns far more from few images"
            )
        return value if value in ("null", "imagenet") else json.dumps(value)

    @property
    def _pictures(self) -> tuple[int, tuple[int, int]]:
        """The number of pictures, and the shorter and the longer side to resize them to."""
        names = list(
            chain.from_iterable(
                [f"{folder}/{name}" for name in files if is_picture(name)]
                for part in self.form.pictures
                for folder, files in folders_below(self.folder / part)
            )
        )
        sizes = [size for name in names[:: -(-len(names) // EXAMINED) or 1] if (size := _size(name))]
        if not sizes:
            return len(names), SIDES[1:]
        smallest, short, long = SIDES
        side = statistics.median(min(size) for size in sizes)
        aspect = statistics.median(max(size) / min(size) for size in sizes)
        shorter = min(short, max(smallest, STEP * round(side / STEP)))
        return len(names), (shorter, min(max(long, shorter), STEP * -(-round(shorter * aspect) // STEP)))


def _size(path: str) -> tuple[int, int] | None:
    """Return the size of a picture by its header; None if it is damaged, which training reports."""
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


@cache
def _environment() -> Environment:
    loader = PackageLoader("lit_cv.commands", "starters")
    return Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)


def _template(name: str) -> Template:
    return _environment().get_template(f"{name}.yaml.jinja")

"""Tasks whose predictions are their targets, changed at random: metrics are neither 0 nor 1, and nothing is trained."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
import yaml
from torch import Tensor

from lit_cv.contract import Batch
from lit_cv.ops.mask_runs import decode_masks, encode_masks
from lit_cv.ops.objects import masks_of
from lit_cv.tasks import CaptioningTask, DetectionTask, InstanceTask, LocalizationTask, PoseTask, SegmentationTask
from lit_cv.training.experiment import parsed
from lit_cv.training.lightning_cli import LitCLI
from lit_cv.training.scoring.kept import KeptPredictions
from lit_cv.training.scoring.rescoring import rescore

Found = dict[str, Any]
ROOT = Path(__file__).parents[2]
EXPERIMENTS = {
    "detection": ("ssd", "GuessedDetection"),
    "instances": ("keypoint_rcnn", "GuessedInstances"),
    "segmentation": ("fcn", "GuessedSegmentation"),
    "localization": ("localization", "GuessedLocalization"),
    "pose": ("pose", "GuessedPose"),
    "captioning": ("densecap", "GuessedCaptioning"),
}


class Guessing(L.LightningModule):
    """Replaces the network's evaluation."""

    def evaluate(self, batch: Batch) -> tuple[Mapping[str, Tensor], list[Found]]:
        losses = dict.fromkeys(self.loss_names, torch.zeros(()))
        pairs = zip(*batch, strict=True)
        return losses, [self.guess(image, target, generator(target)) for image, target in pairs]

    def guess(self, image: Tensor, target: Found, chance: np.random.Generator) -> Found:
        raise NotImplementedError


def generator(target: Found) -> np.random.Generator:
    return np.random.default_rng(int(target["image_id"]))


def moved(points: Tensor, chance: np.random.Generator, pixels: float) -> Tensor:
    return points + torch.from_numpy(chance.normal(0, pixels, points.shape)).to(points.dtype)


def boxes(image: Tensor, target: Found, chance: np.random.Generator, false: int = 3) -> Found:
    """Moved boxes, mostly with their labels, and some false ones; scores have ties."""
    wrong = torch.tensor([[0.0, 0.0, 9.5, 7.25]]).repeat(false, 1)
    found = torch.cat([moved(target["boxes"], chance, 1.5), wrong])
    labels = torch.cat([target["labels"], torch.ones(false, dtype=torch.int64)])
    scores = torch.from_numpy(chance.integers(0, 40, len(found)) / 41).float()
    return {"boxes": found, "scores": scores, "labels": labels}


class GuessedDetection(Guessing, DetectionTask):
    def guess(self, image: Tensor, target: Found, chance: np.random.Generator) -> Found:
        return boxes(image, target, chance)


class GuessedInstances(Guessing, InstanceTask):
    def guess(self, image: Tensor, target: Found, chance: np.random.Generator) -> Found:
        masks = encode_masks(decode_masks(masks_of(target)).roll(int(chance.integers(0, 2)), dims=2))
        joints = moved(target["keypoints"], chance, 1.0)
        return boxes(image, target, chance, false=0) | {
            "mask_runs": masks.runs,
            "mask_lengths": masks.lengths,
            "mask_size": torch.tensor(masks.size),
            "keypoints": joints,
        }


class GuessedSegmentation(Guessing, SegmentationTask):
    def guess(self, image: Tensor, target: Found, chance: np.random.Generator) -> Found:
        mask = target["mask"].clone()
        mask[mask == 255] = 0
        mask[: int(chance.integers(5, 30)), 3:20] = int(chance.integers(0, 4))
        return {"mask": mask}


class GuessedLocalization(Guessing, LocalizationTask):
    def guess(self, image: Tensor, target: Found, chance: np.random.Generator) -> Found:
        labels = torch.from_numpy(chance.permutation(len(self.class_names))) + 1
        corners = moved(target["boxes"].repeat(len(labels), 1), chance, 4.0)
        return {"boxes": corners, "labels": labels, "scores": torch.full((len(labels),), 0.25)}


class GuessedPose(Guessing, PoseTask):
    def guess(self, image: Tensor, target: Found, chance: np.random.Generator) -> Found:
        return {"keypoints": moved(target["keypoints"][..., :2], chance, 3.0)}


class GuessedCaptioning(Guessing, CaptioningTask):
    def guess(self, image: Tensor, target: Found, chance: np.random.Generator) -> Found:
        found = boxes(image, target, chance, false=1)
        phrases = [*(phrase[: int(chance.integers(8, 30))] for phrase in target["phrases"]), "café"]
        return found | {"phrases": phrases, "tokens": torch.zeros(len(phrases), 3, dtype=torch.int64)}


def experiment(kind: str, folder: Path, **data: Any) -> Path:
    """Write the experiment of a task on small generated data, as the run in `folder`; its predictions are guesses."""
    name, task = EXPERIMENTS[kind]
    content = yaml.safe_load((ROOT / "experiments" / "quickstart" / f"{name}.yaml").read_text())
    content["data"]["class_path"] = data.pop("class_path", content["data"]["class_path"])
    content["model"]["class_path"] = f"{__name__}.{task}"
    settings = content["data"]["init_args"]
    settings |= {"root": str(folder / "data"), "shapes": {"train": 6, "val": 9, "size": 64}, "batch_size": 4, **data}
    content["trainer"]["callbacks"] = []
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def evaluated(kind: str, folder: Path, **data: Any) -> LitCLI:
    """Validate the guesses of a task, which makes `folder` one of a run with predictions."""
    path = experiment(kind, folder, **data)
    return LitCLI(["validate", "--config", str(path)], callbacks=[KeptPredictions(folder / "predictions")])


def scored_again(predictions: Path, folder: Path) -> dict[str, float]:
    """Score predictions on the data of the experiment in `folder`."""
    return rescore(predictions, parsed(["fit", "--config", str(folder / "config.yaml")]).fit, split=None)


def differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys whose tensors or lists differ in a value or a dtype."""
    for key in first.keys() | second.keys():
        one, other = first.get(key), second.get(key)
        same = torch.equal(one, other) and one.dtype == other.dtype if isinstance(one, Tensor) else one == other
        if not same:
            yield key

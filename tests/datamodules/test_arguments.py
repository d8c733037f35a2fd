"""Arguments are written once and inherited: the parser still finds each one, with its help."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule

import datamodules

SHARED = {
    "root",
    "batch_size",
    "num_workers",
    "shuffle_targets",
    "seed",
    "shapes",
    "source",
    "cache",
    "max_size",
    "exif",
    "bits",
}
SETS = {"train_sets", "val_sets", "test_sets"}
OWN = {"annotations", "images", "split"}
OWN_COCO = OWN | {"categories"}
OWN_VOC = OWN | {"lists", "classes", "first_pixel"}
OWN_MASKS = (OWN_VOC | {"masks", "mask_suffix", "palette"}) - {"annotations", "first_pixel"}
MIXED = {"augmentation", "mixing"}
POSE = {"val_fraction", "crop_size", "rotation", "scale_jitter", "flip", "mislabeled"}
ARGUMENTS = {
    "VOCDetectionDataModule": SHARED | SETS | OWN_VOC | MIXED | {"difficult", "proposals"},
    "VOCLocalizationDataModule": SHARED | SETS | OWN_VOC | {"augmentation"},
    "VOCSegmentationDataModule": SHARED | SETS | OWN_MASKS | {"augmentation", "mask_values"},
    "COCODetectionDataModule": SHARED | SETS | OWN_COCO | MIXED | {"proposals"},
    "COCOInstanceDataModule": SHARED | SETS | OWN_COCO | MIXED,
    "COCOKeypointDataModule": SHARED | SETS | OWN_COCO | MIXED | {"masks", "joint_pairs", "flip_pairs"},
    "YOLODetectionDataModule": SHARED | MIXED | {"proposals", "file", "split"},
    "YOLOInstanceDataModule": SHARED | MIXED | {"file", "split"},
    "MPIIPoseDataModule": SHARED | POSE | {"annotations"},
    "LSPPoseDataModule": SHARED | POSE,
    "VisualGenomeDataModule": (SHARED | SETS | {"augmentation", "max_words", "min_count", "shuffle_phrases"})
    - {"shuffle_targets"},
    "COCOCaptionDataModule": (SHARED | OWN | {"augmentation", "max_words", "min_count", "shuffle_phrases"})
    - {"shuffle_targets"},
    "ImageFolderDataModule": {"root", "batch_size", "num_workers", "bits"},
}


def test_every_data_module_is_listed() -> None:
    kinds = [getattr(datamodules, name) for name in datamodules.__all__]
    assert {kind.__name__ for kind in kinds if issubclass(kind, LightningDataModule)} == ARGUMENTS.keys()


@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_parser_finds_every_argument_with_its_help(name: str) -> None:
    parser = ArgumentParser()
    parser.add_class_arguments(getattr(datamodules, name), "data")
    helps: dict[str, list[str]] = {}
    for action in parser._actions:
        parts = action.dest.split(".")
        if parts[0] == "data" and len(parts) > 1 and parts[-1] != "help":
            helps.setdefault(parts[1], []).append(action.help or "")
    assert helps.keys() == ARGUMENTS[name]
    assert [argument for argument, texts in helps.items() if not all(text.strip() for text in texts)] == []


def test_no_argument_is_described_in_two_classes() -> None:
    entries: Counter[str] = Counter()
    for file in Path(datamodules.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                found = re.search(r"^Args:\n((?: {4}.*\n?|\n)+)", ast.get_docstring(node) or "", re.MULTILINE)
                described = re.split(r"\n(?=    \w)", found[1].rstrip()) if found else []
                entries.update(" ".join(entry.split()) for entry in described)
    copies = [entry for entry, count in entries.items() if count > 1 and not entry.startswith("options: Those of")]
    assert copies == []

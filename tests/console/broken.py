"""Folders with data sets, runs and files that cannot be used, each for one row of the table."""

import json
import shutil
from pathlib import Path

import torch
import yaml

from datamodules import Shapes
from datamodules.coco.generated import write_coco
from datamodules.pose.generated import write_lsp
from datamodules.visual_genome.generated import write_visual_genome
from datamodules.voc.generated import write_voc

SMALL = Shapes(train=4, val=2, size=64, seed=1)
VOC = "VOCdevkit/VOC2012"
NO_TASK = "lightning.pytorch.demos.boring_classes.BoringModel"


def write_all(folder: Path) -> None:
    """Write the whole data sets `voc`, `coco`, `genome` and `lsp`, and files and copies with one fault each."""
    write_voc(folder / "voc", SMALL)
    write_coco(folder / "coco", SMALL)
    write_visual_genome(folder / "genome", SMALL)
    write_lsp(folder / "lsp", SMALL)
    (folder / "empty").mkdir()
    _files(folder)
    _voc_copies(folder)
    _coco_copies(folder)
    _runs(folder)


def _files(folder: Path) -> None:
    (folder / "no.yaml").write_text("a: [1\n")
    (folder / "list.yaml").write_text("- a\n")
    (folder / "latin.yaml").write_bytes("a: café\n".encode("latin-1"))
    (folder / "empty.yaml").write_text("")
    (folder / "no.pth").write_bytes(b"no state dict")
    torch.save({"a": torch.zeros(1)}, folder / "other.pth")
    torch.save([1, 2], folder / "list.pth")
    (folder / "no_method.yaml").write_text("parameters: {seed_everything: {values: [1]}}\n")
    (folder / "no_values.yaml").write_text("method: grid\nparameters: {seed_everything: 1.5.2}\n")
    ssd = yaml.safe_load(Path("experiments/quickstart/ssd.yaml").read_text())
    for name, change in {
        "no_data": {"data": None},
        "no_model": {"model": None},
        "trainer_3": {"trainer": 3},
        "other_key": {"trianer": {"max_steps": 3}},
        "foreign": {"model": {"class_path": NO_TASK}},
        "init_args": {"data": {"class_path": "datamodules.VOCDetectionDataModule", "init_args": 3}},
        "text_seed": {"seed_everything": "abc"},
    }.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(ssd | change))


def _voc_copies(folder: Path) -> None:
    for fault in ("no_xml", "cut_xml", "class", "no_jpg", "cut_jpg", "no_mask", "empty_list"):
        shutil.copytree(folder / "voc", folder / f"voc_{fault}")
    first = (folder / "voc" / VOC / "ImageSets/Main/train.txt").read_text().split()[0]
    xml, jpg = f"{VOC}/Annotations/{first}.xml", f"{VOC}/JPEGImages/{first}.jpg"
    (folder / "voc_no_xml" / xml).unlink()
    (folder / "voc_cut_xml" / xml).write_text("<annotation><size>")
    text = (folder / "voc_class" / xml).read_text()
    (folder / "voc_class" / xml).write_text(text.replace("<name>", "<name>unknown "))
    (folder / "voc_no_jpg" / jpg).unlink()
    (folder / "voc_cut_jpg" / jpg).write_bytes((folder / "voc" / jpg).read_bytes()[:300])
    (folder / "voc_no_mask" / f"{VOC}/SegmentationClass/{first}.png").unlink()
    (folder / "voc_empty_list" / f"{VOC}/ImageSets/Main/train.txt").write_text("")


def _coco_copies(folder: Path) -> None:
    file = "annotations/instances_train2017.json"
    for name in ("coco_cut", "coco_text", "coco_no_images", "coco_box", "coco_no_jpg"):
        shutil.copytree(folder / "coco", folder / name)
    whole = (folder / "coco" / file).read_text()
    (folder / "coco_cut" / file).write_text(whole[:500])
    (folder / "coco_text" / file).write_text("3")
    content = json.loads(whole)
    (folder / "coco_no_images" / file).write_text(json.dumps({**content, "images": []}))
    content["annotations"][0]["bbox"] = [1, 2, "x", 4]
    (folder / "coco_box" / file).write_text(json.dumps(content))
    next((folder / "coco_no_jpg" / "train2017").iterdir()).unlink()


def _runs(folder: Path) -> None:
    for name in ("no_checkpoint", "no_config", "cut_checkpoint", "group/cut_result"):
        run = folder / "runs" / name
        run.mkdir(parents=True)
        if name != "no_config":
            shutil.copy("experiments/quickstart/ssd.yaml", run / "config.yaml")
    checkpoints = folder / "runs" / "cut_checkpoint" / "checkpoints"
    checkpoints.mkdir()
    (checkpoints / "best.ckpt").write_bytes(b"cut")
    (checkpoints / "last.ckpt").write_bytes(b"cut")
    (folder / "runs" / "group" / "cut_result" / "result.json").write_text('{"metrics": ')
    (folder / "runs" / "empty").mkdir()

"""The official layouts of Pascal VOC, COCO, Leeds Sports Pose, MPII and Visual Genome."""

import re
from collections.abc import Iterator

from datamodules.forms.coco_head import read_head
from datamodules.forms.form import TASKS, Block, Form, Task, block
from datamodules.forms.tree import Tree, join

_VOC_LIST = re.compile(r"(?:(.*)/)?VOC(\d{4})/ImageSets/(Main|Segmentation)")
_PAIRS = (("train", "val"), ("trainval", "test"), ("trainval", None), ("train", None))
_MPII = "mpii_human_pose_v1_u12"


def find_voc_devkit(tree: Tree, root: str) -> Iterator[Form]:
    """Yield the form of a ``VOCdevkit``, or of a folder that holds one."""
    inside = tree.root.resolve().name == "VOCdevkit"
    data: dict[Task, Block] = {}
    pictures = []
    for folder, names in sorted(tree.files.items(), reverse=True):  # the latest year first
        if not (found := _VOC_LIST.fullmatch(folder)) or found[1] != (None if inside else "VOCdevkit"):
            continue
        year = join(found[1] or "", f"VOC{found[2]}")
        if not tree.has_folder(f"{year}/JPEGImages"):
            continue
        lists = {name.removesuffix(".txt") for name in names}
        pair = next((pair for pair in _PAIRS if all(part is None or part in lists for part in pair)), None)
        task: Task = "detection" if found[3] == "Main" else "segmentation"
        labels = "Annotations" if task == "detection" else "SegmentationClass"
        if pair is None or task in data or not tree.has_folder(f"{year}/{labels}"):
            continue
        train, val = ([f"{found[2]}_{part}"] if part else [] for part in pair)
        kind = "VOCDetectionDataModule" if task == "detection" else "VOCSegmentationDataModule"
        data[task] = block(kind, root, train_sets=train, val_sets=val)
        pictures.append(f"{year}/JPEGImages")
    if data:
        ordered = {task: data[task] for task in TASKS if task in data}
        yield Form("Pascal VOC in its official layout", ordered, tuple(dict.fromkeys(pictures)))


def find_coco_sets(tree: Tree, root: str) -> Iterator[Form]:
    """Yield the form of COCO in its official layout."""
    data: dict[Task, Block] = {}
    joints: tuple[str, ...] = ()
    pictures: dict[str, None] = {}
    annotations = sorted(tree.files.get("annotations", ()))
    for objects in ("instances", "person_keypoints"):
        named = [found[1] for name in annotations if (found := re.fullmatch(rf"{objects}_(.+)\.json", name))]
        sets = [name for name in named if tree.has_folder(name)]
        if not sets:
            continue
        train, val = (
            next((name for name in reversed(sets) if name.startswith(part)), None) for part in ("train", "val")
        )
        if train is None or val is None:
            continue
        settings = {} if (train, val) == ("train2017", "val2017") else {"train_sets": [train], "val_sets": [val]}
        if objects == "instances":
            data["detection"] = block("COCODetectionDataModule", root, **settings)
            data["instances"] = block("COCOInstanceDataModule", root, **settings)
        else:
            head = read_head(tree.root / "annotations" / f"{objects}_{val}.json")
            joints = head.joints if head else ()
            data["pose"] = block("COCOKeypointDataModule", root, **settings)
        pictures |= dict.fromkeys((train, val))
    if data:
        yield Form("COCO in its official layout", data, tuple(pictures), joints)


def find_poses(tree: Tree, root: str) -> Iterator[Form]:
    """Yield the forms of Leeds Sports Pose and MPII Human Pose."""
    if tree.has("joints.mat") and tree.has_folder("images"):
        data = block("LSPPoseDataModule", root, val_fraction=0.2)
        yield Form("Leeds Sports Pose in its official layout", {"pose": data}, ("images",))
    mat = f"{_MPII}_1.mat"
    if tree.has(mat) or tree.has(f"{_MPII}_2/{mat}"):
        yield Form("MPII Human Pose in its official layout", {"pose": block("MPIIPoseDataModule", root)}, ("images",))
    elif tree.has("annot/train.json") and tree.has("annot/valid.json"):
        data = block("MPIIPoseDataModule", root, annotations="json")
        yield Form("MPII Human Pose with JSON annotations", {"pose": data}, ("images",))


def find_regions(tree: Tree, root: str) -> Iterator[Form]:
    """Yield the form of Visual Genome's region descriptions."""
    if not (tree.has("region_descriptions.json") and tree.has("image_data.json")):
        return
    notes: tuple[str, ...] = ()
    sets: dict[str, list[str]] = {"train_sets": ["train"], "val_sets": ["val"]}
    if tree.has("densecap_splits.json"):
        sets = {"train_sets": ["densecap_train"], "val_sets": ["densecap_val"]}
    elif not (tree.has("train.txt") and tree.has("val.txt")):
        notes = ("no image is assigned to a split: write train.txt and val.txt here, one image id a line",)
    pictures = tuple(folder for folder in ("VG_100K", "VG_100K_2") if tree.has_folder(folder))
    data = block("VisualGenomeDataModule", root, **sets)
    yield Form("Visual Genome's region descriptions", {"captioning": data}, pictures, notes=notes)

"""Recognizes the form of the data in a folder by names and by the heads of a few files."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from datamodules.forms.coco import find_coco
from datamodules.forms.form import TASKS, Form
from datamodules.forms.masks import find_masks
from datamodules.forms.official import find_coco_sets, find_poses, find_regions, find_voc_devkit
from datamodules.forms.tree import Tree
from datamodules.forms.voc import find_voc
from datamodules.forms.yolo import find_yolo, is_yolo_label
from lit_cv.errors import UserError
from lit_cv.runs.file_kinds import binary_kind

Finder = Callable[[Tree, str], Iterable[Form]]
_OFFICIAL: tuple[Finder, ...] = (find_voc_devkit, find_coco_sets, find_poses, find_regions)
_OWN: tuple[Finder, ...] = (find_coco, find_yolo, find_voc, find_masks)
KNOWN = (
    "the official layouts of Pascal VOC, COCO, Leeds Sports Pose, MPII and Visual Genome; COCO JSON files as Roboflow, "
    "CVAT, Label Studio and labelme2coco write them; YOLO with a data.yaml; Pascal VOC's XML files beside the pictures "
    "or in a folder; class masks as PNG files beside the pictures or in a folder"
)


def recognize(folder: Path) -> list[Form]:
    """Return the forms that the data in a folder has, the likeliest first.

    The names of the files are read once, and of a few files the heads; nothing is checked.

    Args:
        folder: The folder; the data blocks name it in the same way.

    Raises:
        UserError: There is no such folder, or it has no known form.
    """
    if kind := binary_kind(folder):
        raise UserError(f"{folder}: {kind}; give a folder of data.")
    if not folder.is_dir():
        raise UserError(f"{folder} {'is no folder' if folder.exists() else 'does not exist'}: give a folder of data.")
    tree = Tree.of(folder)
    forms = [form for find in _OFFICIAL for form in find(tree, str(folder))]
    if not forms:
        forms = [form for find in _OWN for form in find(tree, str(folder))]
    if not forms:
        raise UserError(f"{folder} has no form of data that is known ({_seen(tree)}). Known are {KNOWN}.{_hint(tree)}")
    return sorted(forms, key=lambda form: min(TASKS.index(task) for task in form.tasks))


def _seen(tree: Tree) -> str:
    counts = tree.suffixes().most_common(6)
    return "seen: " + ", ".join(f"{count:,} {suffix}" for suffix, count in counts) if counts else "it holds no file"


def _hint(tree: Tree) -> str:
    return "".join(f" {hint}" for hint in _hints(tree))


def _hints(tree: Tree) -> Iterator[str]:
    """Yield what to do with files that tools write before they are exported."""
    texts = [path for path in tree.with_suffix(".txt") if path.rpartition("/")[2] not in ("classes.txt", "README.txt")]
    if texts and is_yolo_label(tree, texts[0]):
        yield "The text files look like YOLO labels: write a data.yaml with `names:` and `train:`."
    for path in tree.with_suffix(".json")[:1]:
        head = (tree.root / path).read_bytes()[:4096]
        if b'"shapes"' in head or b'"imagePath"' in head:
            yield "The JSON files look like those of LabelMe: convert them with labelme2coco."
        elif b'"data"' in head or b'"predictions"' in head:
            yield "The JSON file looks like Label Studio's own: export it as COCO or YOLO."
    if tree.has("CVAT.xml") or tree.has("annotations.xml"):
        yield "annotations.xml looks like CVAT's own form: export it as COCO, YOLO or Pascal VOC."

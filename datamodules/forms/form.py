"""A form of data that was recognized in a folder, and the settings that read it."""

import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

import yaml

Task = Literal["detection", "instances", "segmentation", "pose", "captioning"]
TASKS: tuple[Task, ...] = get_args(Task)
SPLIT = {"val": 0.2, "seed": 1}
_PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
SPLIT_WORD = re.compile(rf"(?<![a-z])({'|'.join(sorted(_PARTS, key=len, reverse=True))})(?![a-z])", re.IGNORECASE)
Block = dict[str, Any]
"""The setting ``data`` of an experiment: ``class_path`` and ``init_args``."""


@dataclass(frozen=True)
class Form:
    """A form of data, with what is needed to read it.

    Attributes:
        name: What it is, such as "COCO, as Roboflow exports it".
        data: The data block of an experiment by the task that it serves; in the order of ``TASKS``.
        pictures: Folders with the pictures, relative to the folder of the data; they may have subfolders.
        joints: Names of the joints that a Mask R-CNN learns; empty without such.
        notes: Sentences about parts of the data that the block does not use or cannot find.
    """

    name: str
    data: dict[Task, Block]
    pictures: tuple[str, ...] = ()
    joints: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks that the data can serve."""
        return tuple(self.data)


def block(class_name: str, root: str, **settings: Any) -> Block:
    """Return the data block of a DataModule; settings that are None are left out."""
    given = {name: value for name, value in settings.items() if value is not None}
    return {"class_path": f"datamodules.{class_name}", "init_args": {"root": root, **given}}


def part_of(path: str) -> str:
    """Return the split that a path names, such as ``valid/...`` or ``instances_val2017.json``; "" if none."""
    found = SPLIT_WORD.findall(path)
    return _PARTS[found[-1].lower()] if found else ""


def as_yaml(data: Block) -> str:
    """Return the setting ``data`` of an experiment as YAML, one setting a line."""
    lines = ["data:", f"  class_path: {data['class_path']}", "  init_args:"]
    for name, value in data["init_args"].items():
        text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=10**6, default_flow_style=True)
        lines.append(f"    {name}: " + text.removesuffix("...\n").rstrip())
    return "\n".join(lines) + "\n"

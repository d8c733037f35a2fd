"""The folders that ``annotations`` or ``masks``, ``images``, ``lists`` and ``split`` name."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from datamodules.base import SPLITS
from datamodules.splits import Split
from lit_cv.errors import UserError

Paths = str | Mapping[str, str | None]


class Part(NamedTuple):
    """The files of a split.

    Attributes:
        labels: Folder of the XML files or masks.
        images: Folder of the pictures; None to find it beside the labels.
        names: The list of its images; None for all labels of the folder.
        divided: Whether ``split`` takes a part of the folder.
    """

    labels: Path
    images: Path | None
    names: Path | None
    divided: bool


class OwnLayout:
    """Folders and lists with any names.

    Args:
        root: Base of all relative paths.
        setting: Name of the setting of the labels: ``annotations`` or ``masks``.
        labels: One folder for all splits, or one for each.
        images: The same for the pictures; None to find them.
        lists: The list of the images of each split; None for none.
        split: Divides one folder; the folder of ``train`` if each split has one. None divides one folder with the
            default shares, unless there are lists.

    Attributes:
        root: See above.
        setting: See above.
        parts: The files of each split that has any.
        split: The division; None without one.

    Raises:
        UserError: If the settings contradict each other.
    """

    def __init__(
        self, root: Path, setting: str, labels: Paths, images: Paths | None, lists: Paths | None, split: Split | None
    ) -> None:
        if lists is not None and split is not None:
            raise UserError("data.lists and data.split both choose the images of each split: keep one of the two.")
        if isinstance(lists, str):
            raise UserError(f"data.lists is {lists!r}: name a list for each split, {{train: FILE, val: FILE}}.")
        folders, pictures = _by_split(setting, labels), _by_split("images", images)
        names = _by_split("lists", lists)
        whole = "" in folders
        self.root, self.setting = root, setting
        self.split = split or (Split() if whole and not names else None)
        self.parts: dict[str, Part] = {}
        for part in SPLITS:
            share = {"train": 1.0, "val": self.split.val, "test": self.split.test}[part] if self.split else 0.0
            if share and part != "train" and part in folders:
                raise UserError(
                    f"split takes a share of {share:g} for {part}, but {setting} names a folder for it: set "
                    f"split.{part} to 0, or take out the folder."
                )
            divided = bool(share) and (whole or part == "train" or part not in folders)
            folder = folders.get("") or folders.get(part) or (folders.get("train") if divided else None)
            if folder is None or (names and part not in names) or (whole and not names and not share):
                continue
            images_of = pictures.get(part, pictures.get("", pictures.get("train") if divided else None))
            self.parts[part] = Part(
                root / folder,
                None if images_of is None else root / images_of,
                root / names[part] if part in names else None,
                divided,
            )
        if "train" not in self.parts and self.split:
            raise UserError(f"split divides the folder of the training images, but {setting} names none: add train.")


def _by_split(setting: str, value: Paths | None) -> dict[str, str]:
    """Return the paths of a setting by their split; one path for all under ""."""
    if value is None or isinstance(value, str):
        return {} if value is None else {"": value}
    if unknown := [name for name in value if name not in SPLITS]:
        raise UserError(f"{setting} names the split {unknown[0]!r}: choose from {', '.join(SPLITS)}.")
    paths = {name: path for name, path in value.items() if path is not None}
    if not paths:
        raise UserError(f"{setting} names no path: give one, or one for each of {', '.join(SPLITS)}.")
    return paths

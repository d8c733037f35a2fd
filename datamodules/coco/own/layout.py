"""The files that ``annotations``, ``images`` and ``split`` name."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from datamodules.coco.files import COCOSet, Own
from datamodules.coco.own.folders import images_folder
from datamodules.splits import Split
from lit_cv.errors import UserError

SPLITS = ("train", "val", "test")
Paths = str | Mapping[str, str | None]


class OwnLayout:
    """Annotation files and folders of images with any names.

    Args:
        root: Folder that the paths are relative to.
        annotations: One file for everything, or the file of each split.
        images: One folder, or the folder of each split; None to find them, see :func:`images_folder`.
        split: Divides one file; the file of ``train`` if each split has a file. None divides a file for everything with
            the default shares.
        categories: The classes to take; None for all.

    Raises:
        UserError: If the settings contradict each other.
    """

    def __init__(
        self,
        root: Path,
        annotations: Paths,
        images: Paths | None,
        split: Split | None,
        categories: Sequence[str] | None = None,
    ) -> None:
        self.root, self.categories = root, None if categories is None else tuple(categories)
        named = _by_split("annotations", annotations)
        folders = {} if images is None else _by_split("images", images)
        if "" in named and folders and "" not in folders:
            raise UserError("images names a folder for each split, but annotations one file for all: give one folder.")
        if unused := sorted(folders.keys() - named.keys() - {""}):
            raise UserError(f"images names a folder for {unused[0]}, but annotations no file for it: add the file.")
        self.split = split if split or "" not in named else Split()
        self.files = {
            part: root / path for part, path in (_divided(named, self.split) if self.split else named).items()
        }
        self.folders = {part: folders.get(part, folders.get("")) for part in self.files}
        self._found = dict[str, Path]()
        self.divided = {part for part in self.files if self.split and self.files[part] == self.files["train"]}
        for part, file in self.files.items():
            for other in self.files:
                if part < other and file == self.files[other] and part not in self.divided:
                    raise UserError(f"annotations names {file} for {part} and for {other}: set split to divide it.")

    @property
    def reference(self) -> Path:
        """The file whose categories are the first classes: that of the training images, else the first one."""
        return next(iter(self.files.values()))

    def sets(self, split: str) -> list[COCOSet]:
        """Return the set of a split; none if it has no file.

        Raises:
            UserError: If the folder of images is not given and cannot be found.
        """
        if split not in self.files:
            return []
        file, folder = self.files[split], self.folders[split]
        self.check(file)
        if split not in self._found:
            self._found[split] = images_folder(file, self.root) if folder is None else self.root / folder
        own = Own(
            split,
            tuple(dict.fromkeys(self.files.values())),
            self.split if split in self.divided else None,
            self.categories,
        )
        return [COCOSet(file, self._found[split], own)]

    def division(self, counts: Mapping[str, int]) -> list[str]:
        """Return a sentence about how one file was divided, given the number of images of each split; else nothing."""
        parts = ", ".join(f"{count} {name}" for name, count in counts.items() if name in self.divided)
        return [f"{self.files['train']} is divided into {parts} images ({self.split})."] if self.divided else []

    def check(self, file: Path) -> None:
        """Check that an annotation file exists.

        Raises:
            UserError: If it does not; the message lists JSON files below the root.
        """
        if file.is_file():
            return
        found = sorted(path for pattern in ("*.json", "*/*.json") for path in self.root.glob(pattern))
        names = ", ".join(str(path.relative_to(self.root)) for path in found[:5])
        fix = f"name one of {names}" if found else "fix data.root or data.annotations"
        raise UserError(f"The annotation file {file} {'is a folder' if file.is_dir() else 'is missing'}: {fix}.")


def _by_split(setting: str, value: Paths) -> dict[str, str]:
    """Return the paths of a setting by their split, in the order of the splits; one path for all under ""."""
    if isinstance(value, str):
        return {"": value}
    if unknown := [name for name in value if name not in SPLITS]:
        raise UserError(f"{setting} names the split {unknown[0]!r}: choose from {', '.join(SPLITS)}.")
    paths = {name: path for name in SPLITS if (path := value.get(name)) is not None}
    if not paths:
        raise UserError(f"{setting} names no path: give one, or one for each of {', '.join(SPLITS)}.")
    return paths


def _divided(named: dict[str, str], split: Split) -> dict[str, str]:
    """Return the paths by split, after the file for everything, or that of the training images, was divided."""
    whole = named.get("", named.get("train"))
    if whole is None:
        raise UserError("split divides the file of the training images, but annotations names none: add train.")
    paths = {"train": whole}
    for part, share in (("val", split.val), ("test", split.test)):
        if share and part in named:
            raise UserError(
                f"split takes a share of {share:g} for {part}, but annotations names a file for it: set split.{part} "
                "to 0, or take out the file."
            )
        if share or part in named:
            paths[part] = named.get(part, whole)
    return paths

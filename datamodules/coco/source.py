"""The location of COCO's files, and the sets of each split."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

from datamodules.base import SPLITS, Source
from datamodules.coco import generated
from datamodules.coco.archives import fetch_coco
from datamodules.coco.categories import Facts, category_errors
from datamodules.coco.checks import folder_errors
from datamodules.coco.files import CATEGORIES, COCOSet, read_categories
from datamodules.coco.own.classes import all_categories
from datamodules.coco.own.layout import OwnLayout
from datamodules.defects import stop_at
from datamodules.shapes.settings import Shapes
from lit_cv.errors import UserError

_ELSEWHERE = "fix data.root, or set data.source to download; data.annotations takes files with other names"
Objects = Literal["instances", "person_keypoints"]


class COCOSource:
    """COCO's files and the sets of the splits.

    Args:
        root: Folder that holds ``annotations`` and a folder of images for each set.
        source: Origin of the files, see :class:`DataModule`.
        shapes: Settings of the generated sets.
        objects: Beginning of the names of the annotation files.
        sets: Names of the sets of train, val and test; None or empty for a split without sets.
        own: Files of other names, which replace the official layout; None for that layout.
        upright: Whether the annotations refer to the upright images.
    """

    def __init__(
        self,
        root: Path,
        source: Source,
        shapes: Shapes,
        objects: Objects,
        *sets: Sequence[str] | None,
        own: OwnLayout | None = None,
        upright: bool = False,
    ) -> None:
        self.root, self.source, self.shapes, self.objects = root, source, shapes, objects
        self.own, self.upright = own, upright
        self.sets = {split: list(names or ()) for split, names in zip(SPLITS, sets, strict=True)}

    @property
    def known_names(self) -> tuple[str, ...] | None:
        """The names of the categories if they are known without a file; None for ``local``."""
        if self.source == "local":
            return None
        categories = generated.CATEGORIES if self.source == "shapes" else CATEGORIES
        return tuple(categories.values()) if self.objects == "instances" else (categories[1],)

    @cached_property
    def facts(self) -> Facts:
        """The names of classes and joints, and the limbs, read from the smallest annotation file.

        Raises:
            UserError: If no set is named, or a file is missing or unusable.
        """
        files = self.annotation_files
        if not files:
            raise UserError("No COCO set is named: set data.train_sets or data.val_sets.")
        for path in files:
            self.check(path)
        file = files[0] if self.own else min(files, key=lambda path: path.stat().st_size)
        keypoints = self.objects == "person_keypoints"
        categories = all_categories(files, self.own.categories) if self.own else read_categories(file)
        stop_at(category_errors(file, categories, keypoints))
        return Facts.of(categories, keypoints)

    @property
    def annotation_files(self) -> list[Path]:
        """The annotation files of all splits, which need not exist; the first decides about the categories."""
        if self.own:
            return list(self.own.files.values())
        return [self._named(name).file for names in self.sets.values() for name in names]

    def fetch(self) -> None:
        """Download or generate missing files, as ``source`` says."""
        if self.source == "download":
            fetch_coco(self.root, [name for sets in self.sets.values() for name in sets])
        elif self.source == "shapes":
            generated.write_coco(self.root, self.shapes)

    def files(self, split: str) -> list[COCOSet]:
        """Return the files of a split; empty for a split without sets.

        Raises:
            UserError: If one is missing, or a set is named twice.
        """
        names = self.sets[split]
        if not self.own and len(set(names)) < len(names):
            raise UserError(f"{split}_sets={names} name a set twice: name each once.")
        files = list(self.listed(split))
        for source in files:
            self.check(source.file)
            stop_at(folder_errors(source))
        return files

    def listed(self, split: str) -> Iterator[COCOSet]:
        """Yield the sets of a split, each once, whose files need not exist in the official layout."""
        sets = self.own.sets(split) if self.own else map(self._named, dict.fromkeys(self.sets[split]))
        for source in sets:
            yield source._replace(upright=self.upright)

    def _named(self, name: str) -> COCOSet:
        """Return the paths of a set, which need not exist."""
        return COCOSet(self.root / "annotations" / f"{self.objects}_{name}.json", self.root / name)

    def check(self, file: Path) -> None:
        """Check that an annotation file exists.

        Raises:
            UserError: If it does not; the message lists the existing sets.
        """
        if self.own:
            return self.own.check(file)
        if file.is_file():
            return None
        others = file.parent.glob(f"{self.objects}_*.json")
        found = ", ".join(sorted(path.stem.removeprefix(f"{self.objects}_") for path in others))
        there = f"choose another set ({found})" if found else _ELSEWHERE
        raise UserError(f"The annotation file {file} is missing: {there}.")

"""The location of COCO's files, and the sets of each split."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from datamodules.coco import generated
from datamodules.coco.archives import fetch_coco
from datamodules.coco.files import CATEGORIES
from datamodules.coco.packing import COCOSet
from datamodules.shapes.settings import Shapes
from lit_cv.errors import UserError

Source = Literal["local", "download", "shapes"]
Objects = Literal["instances", "person_keypoints"]


class COCOSource:
    """COCO's files and the sets of the splits.

    Args:
        root: Folder that holds ``annotations`` and a folder of images for each set.
        source: ``local``: the files are there; ``download``: fetch the official archives that are missing; ``shapes``:
            generate a small data set of shapes and stick figures (train2017 and val2017 only) if there is none.
        shapes: Settings of the data that ``source: shapes`` generates.
        objects: Beginning of the names of the annotation files.
        sets: Names of the sets of train, val and test; None or empty for a split without.
    """

    def __init__(
        self, root: str, source: Source, shapes: Shapes, objects: Objects, *sets: Sequence[str] | None
    ) -> None:
        self.root, self.source, self.shapes, self.objects = Path(root), source, shapes, objects
        self.sets = {split: list(names or ()) for split, names in zip(("train", "val", "test"), sets, strict=True)}

    @property
    def known_names(self) -> tuple[str, ...] | None:
        """The names of the categories if they are known without a file; None for ``local``."""
        if self.source == "local":
            return None
        categories = generated.CATEGORIES if self.source == "shapes" else CATEGORIES
        return tuple(categories.values()) if self.objects == "instances" else (categories[1],)

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
        if len(set(names)) < len(names):
            raise UserError(f"{split}_sets={names} name a set twice: name each once.")
        files = [self.named(name) for name in names]
        for source in files:
            self.check(source)
            if not source.images.is_dir():
                raise UserError(
                    f"{source.images} is no folder, though {source.file} describes its images: put them there."
                )
        return files

    def named(self, name: str) -> COCOSet:
        """Return the paths of a set, which need not exist."""
        return COCOSet(self.root / "annotations" / f"{self.objects}_{name}.json", self.root / name)

    def check(self, source: COCOSet) -> None:
        """Check that the annotation file of a set exists.

        Raises:
            UserError: If it does not; the message lists the existing sets.
        """
        if source.file.is_file():
            return
        others = source.file.parent.glob(f"{self.objects}_*.json")
        found = ", ".join(sorted(path.stem.removeprefix(f"{self.objects}_") for path in others))
        there = f"choose another set ({found})" if found else "fix root, or set source to download"
        raise UserError(f"The annotation file {source.file} is missing: {there}.")

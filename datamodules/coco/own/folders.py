"""Find the folder of the images that an annotation file describes."""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from datamodules.coco.pictures import exact_file, tail_file
from datamodules.loading.json_stream import read_records
from lit_cv.errors import UserError

_EXAMINED = 32  # names
_KIND = re.compile(r"^(instances|person_keypoints|captions)_")


def images_folder(file: Path, root: Path) -> Path:
    """Return the folder that the file names of an annotation file are relative to.

    Labeling tools write the images beside the file (Roboflow, labelme2coco), in ``images`` beside it (Label Studio) or
    in ``../images/<subset>`` (CVAT). The one of these and similar folders that holds the most images is taken.

    Args:
        file: The annotation file.
        root: Folder of the data set.

    Raises:
        UserError: If none of the folders holds an image, or two hold different ones of the same name.
    """
    names, folders = _names(file), list(dict.fromkeys(_candidates(file, root)))
    for find in (exact_file, tail_file):
        found = {folder: {name: path for name in names if (path := find(folder, name))} for folder in folders}
        best = max(folders, key=lambda folder: len(found[folder]))
        for folder in folders:
            for name in found[folder].keys() & found[best].keys():
                if not found[folder][name].samefile(found[best][name]):
                    raise UserError(
                        f"{file} lists the image {name!r}, which is in {best} and in {folder}: set images to one of "
                        "the two."
                    )
        if found[best]:
            return best
    raise UserError(
        f"{file} lists images such as {names[0] if names else None!r}, which are in none of the folders "
        f"{', '.join(str(folder) for folder in folders)}: set images to their folder."
    )


def _names(file: Path) -> list[str]:
    """Return the first file names of a file; records without one are defects of their own."""
    records = (record for _, chunk in read_records(file, ("images",)) for record in chunk)
    names = (record.get("file_name") for record in records if isinstance(record, dict))
    return list(islice((name for name in names if isinstance(name, str) and name), _EXAMINED))


def _candidates(file: Path, root: Path) -> Iterator[Path]:
    """Yield existing folders; those above the root are left out."""
    folder, subsets = file.parent, (_KIND.sub("", file.stem), file.stem)
    places = [folder, folder / "images", *(folder.parent / "images" / name for name in subsets)]
    places += [folder.parent / "images", *(folder.parent / name for name in subsets), folder.parent]
    for place in (*places, root / "images", root):
        if place.is_dir() and (place == folder or place.is_relative_to(root)):
            yield place

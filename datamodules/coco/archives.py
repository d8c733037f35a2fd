"""The official archives of COCO and their download."""

from collections.abc import Sequence
from pathlib import Path

from datamodules.loading.download import Archive, fetch_archive
from lit_cv.errors import UserError


def _coco(folder: str, name: str, md5: str) -> Archive:
    return Archive(name, (f"http://images.cocodataset.org/{folder}",), md5)


COCO_ARCHIVES = {
    "train2017": _coco("zips", "train2017.zip", "cced6f7f71b7629ddf16f17bbcfab6b2"),
    "val2017": _coco("zips", "val2017.zip", "442b8da7639aecaf257c1dceb8ba8c80"),
    "annotations": _coco("annotations", "annotations_trainval2017.zip", "f4bbac642086de4f52a3fdda2de5fa2c"),
}


def fetch_coco(root: Path, sets: Sequence[str]) -> None:
    """Download and unpack the official COCO archives that sets need, unless that was done before.

    The environment variable LITCV_MIRRORS (URLs of folders, separated by blanks) replaces the official host.

    Args:
        root: Destination of ``annotations`` and the folders of images.
        sets: ``train2017``, ``val2017``.

    Raises:
        UserError: If a set is in no public archive, or no mirror gives a good copy.
    """
    public = [name for name in COCO_ARCHIVES if name != "annotations"]
    for name in sets:
        if name not in public:
            raise UserError(
                f"No public archive holds annotations of the set {name!r}: choose from {', '.join(public)}."
            )
    for name in dict.fromkeys(("annotations", *sets)):
        fetch_archive(COCO_ARCHIVES[name], root)

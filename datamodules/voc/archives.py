"""The official archives of Pascal VOC and SBD, and their download."""

from collections.abc import Sequence
from pathlib import Path

from datamodules.loading.download import Archive, fetch_archive
from lit_cv.errors import UserError


def _voc(name: str, year: int, md5: str) -> Archive:
    hosts = ("http://host.robots.ox.ac.uk", "http://thor.robots.ox.ac.uk")
    folders = tuple(f"{host}/pascal/VOC/voc{year}" for host in hosts)
    return Archive(name, (*folders, "https://pjreddie.com/media/files"), md5)


_TRAINVAL_2007 = _voc("VOCtrainval_06-Nov-2007.tar", 2007, "c52e279531787c972589f7e41ab4ae64")
_TEST_2007 = _voc("VOCtest_06-Nov-2007.tar", 2007, "b6e924de25625d8de591ea690078ad9f")
_TRAINVAL_2012 = _voc("VOCtrainval_11-May-2012.tar", 2012, "6cd6e144f989b92b3379bac3b3de84fd")
VOC_ARCHIVES = {
    **{f"2007_{split}": _TRAINVAL_2007 for split in ("train", "val", "trainval")},
    **{f"2012_{split}": _TRAINVAL_2012 for split in ("train", "val", "trainval")},
    "2007_test": _TEST_2007,
}
SBD_ARCHIVE = Archive(
    "benchmark.tgz",
    ("https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours",),
    "82b4d87ceb2ed10f6038a1cba92111cb",
)


def fetch_voc(root: Path, sets: Sequence[str]) -> None:
    """Download and unpack the official VOC archives that image lists need, unless that was done before.

    The environment variable LITCV_MIRRORS (URLs of folders, separated by blanks) replaces the official hosts.

    Args:
        root: Destination of ``VOCdevkit``.
        sets: Image lists, ``<year>_<list>``.

    Raises:
        UserError: If a set is in no public archive, or no mirror gives a good copy.
    """
    for name in sets:
        if name not in VOC_ARCHIVES:
            raise UserError(f"No public archive holds the set {name!r}: choose from {', '.join(VOC_ARCHIVES)}.")
    for archive in dict.fromkeys(VOC_ARCHIVES[name] for name in sets):
        fetch_archive(archive, root)

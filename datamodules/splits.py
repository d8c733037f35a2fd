"""Divide the images of one list into training, validation and test data."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from posixpath import basename, splitext

from lit_cv.errors import UserError


@dataclass(frozen=True)
class Split:
    """Shares of the images that are validated and tested on; all others are trained on.

    Attributes:
        val: Share of the validation images, from 0 to 1.
        test: Share of the test images.
        seed: Seed of the choice, >= 0.
        group: Regular expression that finds, in the name of an image, the group that must stay in one split, such as
            the video of a frame: its first parenthesis, else the whole match. Null: each image is its own group.
    """

    val: float = 0.2
    test: float = 0.0
    seed: int = 1
    group: str | None = None

    def __post_init__(self) -> None:
        if not (self.val >= 0 and self.test >= 0 and self.val + self.test < 1):
            raise UserError(
                f"split: val={self.val:g} and test={self.test:g} are no shares of the images that leave some to train "
                "on: give numbers from 0 whose sum is below 1."
            )
        if self.seed < 0:
            raise UserError(f"split: seed={self.seed} makes no sense; give at least 0.")
        if self.group is not None:
            try:
                re.compile(self.group)
            except re.error as error:
                raise UserError(f"split: group={self.group!r} is no regular expression ({error}): fix it.") from None


def split_names(names: Sequence[str], split: Split) -> dict[str, list[str]]:
    """Divide images by their names.

    The order of the choice is that of a hash of the seed and the file name without folder and suffix (or of the group),
    so the same pictures give the same splits in every annotation format. Counts are the rounded shares; at least one
    image if the share is above 0. Groups are taken while they bring the count closer to the share.

    Args:
        names: Names of the images, with or without folders.
        split: The shares.

    Returns:
        The names of ``train``, ``val`` and ``test``, each in the order of ``names``.

    Raises:
        UserError: If nothing is left to train on, or the pattern of the groups does not match a name.
    """
    groups = defaultdict[tuple[str, str], list[str]](list)
    for name in names:
        groups[_group(name, split)].append(name)
    free = sorted(groups, key=lambda group: (_hash(split.seed, group[0]), group))
    place = dict.fromkeys(free, "train")
    for part, share in (("val", split.val), ("test", split.test)):
        chosen = _chosen([(group, len(groups[group])) for group in free], int(share * len(names) + 0.5), share > 0)
        place |= dict.fromkeys(chosen, part)
        free = [group for group in free if group not in chosen]
    if not free:
        raise UserError(
            f"split: nothing is left to train on of {len(names)} images in {len(groups)} groups "
            f"(val={split.val:g}, test={split.test:g}, group={split.group!r}): lower the shares, or change group."
        )
    parts: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for name in names:
        parts[place[_group(name, split)]].append(name)
    return parts


def _group(name: str, split: Split) -> tuple[str, str]:
    """Return the text that is hashed for an image, and the name of its group."""
    if split.group is None:
        return splitext(basename(name.replace("\\", "/")))[0], name
    if not (found := re.search(split.group, name)):
        raise UserError(
            f"split: group={split.group!r} matches no part of the image name {name!r}: write a pattern that matches "
            "every name, for example with `|.*` at its end for images without a group."
        )
    group = next((text for text in found.groups() if text is not None), found[0])
    return group, group


def _chosen(groups: Iterable[tuple[tuple[str, str], int]], count: int, needed: bool) -> set[tuple[str, str]]:
    """Return groups, given with their sizes, that together have ``count`` images or nearly so; one if ``needed``."""
    sizes, chosen, total = list(groups), set(), 0
    for group, size in sizes:
        if size <= 2 * (count - total):
            chosen.add(group)
            total += size
    if needed and not chosen and sizes:
        chosen.add(min(sizes, key=lambda entry: entry[1])[0])
    return chosen


def _hash(seed: int, text: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{text}".encode()).digest()

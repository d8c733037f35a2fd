"""Skeletons: joints with names, their left-right pairs and visibility."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_cv.errors import UserError

HIDDEN, VISIBLE = 1, 2  # flags of labeled joints; 0 is not labeled


@dataclass(frozen=True)
class Skeleton:
    """The joints that a data set labels.

    Attributes:
        joints: The K names of the joints.
        limbs: Pairs of joints that a line connects in pictures.
        pairs: (right, left) joints, which a mirrored image swaps.
        head: The two joints whose distance gives the size of the head if no head box is known.
        torso: The two joints whose distance is the size of the torso: left shoulder and right hip (Toshev & Szegedy
            2014, §4.1).
        left_out: Joints that the total of PCKh excludes.
        head_share: Size of the head over the distance of the ``head`` joints.
    """

    joints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    pairs: tuple[tuple[int, int], ...]
    head: tuple[int, int]
    torso: tuple[int, int]
    left_out: tuple[int, ...] = ()
    head_share: float = 1.0

    @property
    def mirrored(self) -> NDArray[np.int64]:
        """For each joint, the joint that replaces it in a mirrored image, int64 (K,)."""
        return mirrored_order(len(self.joints), self.pairs)


def mirrored_order(count: int, pairs: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Return, for each of ``count`` joints, the joint that replaces it in a mirrored image, int64: ``pairs`` swap."""
    order, swapped = np.arange(count), np.array(pairs, dtype=np.int64).reshape(-1, 2)
    order[swapped] = swapped[:, ::-1]
    return order


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_COMPOUND = re.compile(r"^(left|right)(?=.)|(?<=.)(left|right)$|^[lr](?=.)")
_SIDES = {"left": "left", "right": "right", "l": "left", "r": "right"}

Stem = tuple[str, ...]


def left_right_pairs(names: Sequence[str]) -> list[tuple[int, int]]:
    """Return the (right, left) joints: those whose names differ only in the side.

    A side is a word, a part of a word, or a letter: ``right_eye``, ``eye_right``, ``RightEye``, ``eyeright``,
    ``r_eye``, ``eyeR``, ``reye``. A letter counts only if both names are there: ``rx`` and ``lx``.
    """
    places: dict[Stem, dict[str, list[int]]] = defaultdict(lambda: {"left": [], "right": []})
    for place, name in enumerate(names):
        for side, stem in _readings(name):
            places[stem][side].append(place)
    found = {sides["right"][0]: sides["left"][0] for sides in places.values() if [*map(len, sides.values())] == [1, 1]}
    return sorted(found.items())


def named_pairs(
    names: Sequence[str], pairs: Sequence[Sequence[str]], setting: str = "joint_pairs"
) -> list[tuple[int, int]]:
    """Return the (right, left) joints of pairs of names.

    Args:
        names: The K names of the joints.
        pairs: The names of the pairs.
        setting: The setting that gives them, for messages.

    Raises:
        UserError: If a name is unknown, or in two places.
    """
    given = [name for pair in pairs for name in pair]
    for name in given:
        if name not in names:
            raise UserError(f"{setting} names {name!r}, which is no joint: choose from {', '.join(names)}.")
        if given.count(name) > 1:
            raise UserError(f"{setting} names {name!r} twice: each joint has one other side.")
    return [(names.index(right), names.index(left)) for right, left in pairs]


def _readings(name: str) -> Iterator[tuple[str, Stem]]:
    """Yield the side that a name may mean, and the name with a blank in the place of the side."""
    words = [word.lower() for word in _WORD.findall(name)]
    for place, word in enumerate(words):
        blank = (*words[:place], "", *words[place + 1 :])
        if word in _SIDES:
            yield _SIDES[word], blank
        elif part := _COMPOUND.search(word):
            yield _SIDES[part[0]], (*words[:place], _COMPOUND.sub("-", word), *words[place + 1 :])


def side_doubts(names: Sequence[str], pairs: Sequence[tuple[int, int]]) -> str | None:
    """Return the reason why it is not known which joints swap in a mirrored image; None if it is known.

    Args:
        names: The K names of the joints.
        pairs: The (right, left) joints that are known.
    """
    paired = {place for pair in pairs for place in pair}
    words = [[word.lower() for word in _WORD.findall(name)] for name in names]
    letters = {"l", "r"} & {word for name in words for word in name}
    sides = letters if len(letters) == 2 else set()  # L1 without R1 may be anything
    alone = [
        name
        for place, name in enumerate(names)
        if place not in paired and any(word in sides or word.startswith(("left", "right")) for word in words[place])
    ]
    if alone:
        return f"of the joints {', '.join(alone)} the other side is missing"
    if len(names) > 1 and len({"".join(re.findall(r"[^\W\d_]+", name)).lower() for name in names}) == 1:
        return f"the names of the joints, such as {names[0]!r} and {names[1]!r}, do not tell left from right"
    return None


def is_origin(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which points (..., 2) are (0, 0), bool (...): where pixels count from 1, tools write it for no joint."""
    origin: NDArray[np.bool_] = np.all(points == 0, axis=-1)
    return origin


def inside_image(joints: NDArray[np.float64], sizes: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which joints (N, K, 3) lie in their image of width and height (N, 2), bool (N, K); NaN does not."""
    with np.errstate(invalid="ignore"):
        near, far = joints[..., :2] >= -0.5, joints[..., :2] <= sizes[:, None] - 0.5
    inside: NDArray[np.bool_] = np.all(near & far, axis=2)
    return inside

"""One list of images divided into training, validation and test data."""

import re
from collections import Counter

import pytest

from datamodules.splits import Split, split_names
from lit_cv.errors import UserError

NAMES = [f"{number:03d}.jpg" for number in range(50)]
FRAMES = [f"cam{video}/clip{video}_{frame:04d}.png" for video in range(10) for frame in range(3 + video)]


def test_counts_are_rounded_shares_and_the_order_stays() -> None:
    parts = split_names(NAMES, Split(val=0.25, test=0.1))
    assert {part: len(names) for part, names in parts.items()} == {"train": 32, "val": 13, "test": 5}
    assert sorted(name for names in parts.values() for name in names) == NAMES
    assert all(names == sorted(names) for names in parts.values())
    assert split_names(NAMES[:2], Split())["val"]  # a share above 0 is at least one image


def test_a_split_depends_on_seed_and_names_only() -> None:
    first = split_names(NAMES, Split())
    assert first == {"train": first["train"], "val": first["val"], "test": []}
    assert set(split_names(NAMES[::-1], Split())["val"]) == set(first["val"])
    assert split_names(NAMES, Split(seed=2))["val"] != first["val"]
    assert split_names(NAMES, Split(test=0.2))["val"] == first["val"]
    for other in ("images\\val\\{}", "a/b/{}"):  # other formats of the same pictures name other folders and suffixes
        moved = split_names([other.format(name.replace("jpg", "txt")) for name in NAMES], Split())["val"]
        assert [re.split(r"[\\/]", name)[-1].replace("txt", "jpg") for name in moved] == first["val"]


@pytest.mark.parametrize("pattern", [r"clip\d+", r"^cam(\d+)/"])
def test_frames_of_one_video_stay_together(pattern: str) -> None:
    parts = split_names(FRAMES, Split(val=0.3, test=0.2, group=pattern))
    videos = {part: {name.split("/")[0] for name in names} for part, names in parts.items()}
    assert Counter(video for found in videos.values() for video in found).most_common(1)[0][1] == 1
    assert {part: len(names) for part, names in parts.items()} == pytest.approx(
        {"train": 37.5, "val": 22.5, "test": 15}, abs=6
    )


def test_a_video_larger_than_the_share_is_not_taken_if_a_smaller_one_is_there() -> None:
    names = [f"long_{frame}.png" for frame in range(20)] + ["short_1.png", "short_2.png"]
    assert split_names(names, Split(val=0.1, group="long|short"))["val"] == ["short_1.png", "short_2.png"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"val": 1.0}, "val=1 and test=0 are no shares"),
        ({"val": 0.6, "test": 0.4}, "sum is below 1"),
        ({"val": float("nan")}, "no shares"),
        ({"val": -0.1}, "val=-0.1"),
        ({"seed": -1}, "seed=-1"),
        ({"group": "("}, "is no regular expression"),
        ({"group": "clip(\\d+)"}, "matches no part of the image name '000.jpg'"),
        ({"group": "jpg"}, "nothing is left to train on of 50 images in 1 groups"),
    ],
)
def test_an_unusable_split_is_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        split_names(NAMES, Split(**options))  # type: ignore[arg-type]

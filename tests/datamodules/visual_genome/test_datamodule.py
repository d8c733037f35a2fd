import json
import pickle
from pathlib import Path
from typing import Any

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser

from datamodules import VisualGenomeDataModule
from datamodules.visual_genome import files
from lit_cv.errors import UserError
from lit_cv.ops.vocabulary import SPECIAL, words_of
from lit_cv.tasks import CaptioningTask

WIDTH, HEIGHT = 60, 40
Json = Any


def region(phrase: str, x: float = 1, y: float = 2, width: float = 10, height: float = 20, **more: Any) -> Json:
    return {"x": x, "y": y, "width": width, "height": height, "phrase": phrase, **more}


def write(root: Path, described: Json, images: list[int] | None = None) -> Path:
    """A small data set; every second image is in the second folder."""
    numbers = [1, 2, 3] if images is None else images
    for number in numbers:
        folder = root / files.FOLDERS[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{number}.jpg"), np.full((HEIGHT, WIDTH, 3), 50 * number, np.uint8))
    sizes = [{"image_id": number, "width": WIDTH, "height": HEIGHT, "url": "…"} for number in (1, 2, 3)]
    (root / files.IMAGES).write_text(json.dumps(sizes))
    (root / files.REGIONS).write_text(json.dumps(described) if not isinstance(described, str) else described)
    return root


def three(**changes: Any) -> Json:
    return [{"id": number, "regions": [region(f"a dog {number}", **changes)]} for number in (1, 2, 3)]


def opened(root: Path, **options: Any) -> VisualGenomeDataModule:
    options = {"train_sets": ["all"], "val_sets": ["all"], "min_count": 1, "batch_size": 1, **options}
    data = VisualGenomeDataModule(str(root), **options)
    data.prepare_data()
    data.setup()
    return data


def targets(data: VisualGenomeDataModule, split: str = "val") -> list[dict[str, Any]]:
    loader = data.train_in_order() if split == "train" else data.val_dataloader()
    return [target for _, batch in loader for target in batch]


def counts(data: VisualGenomeDataModule) -> dict[str, int]:
    return {key.removeprefix("train/"): n for key, n in data.counts.items() if key.startswith("train/")}


def test_real_regions_equal_their_json(real_data: Path) -> None:
    root = real_data / "visual_genome"
    data = opened(root, min_count=3)
    described = json.loads((root / files.REGIONS).read_text())
    assert counts(data) == {
        **{"images": 3, "images_without_regions": 0, "regions": 780, "clipped": 0, "dropped": 0},
        **{"long": 3, "wordless": 0, "unknown": 0},
    }
    samples = [data.dataset(data.splits["val"], training=False)[0, index] for index in range(3)]
    for (image, target), record in zip(samples, described, strict=True):
        kept = [r for r in record["regions"] if len(files.words_of(r["phrase"])) <= 10]
        assert image.shape == (3, 600, 800)
        wanted = [[r["x"], r["y"], r["x"] + r["width"], r["y"] + r["height"]] for r in kept]
        assert target["boxes"].tolist() == wanted
        assert target["phrases"] == [" ".join(files.words_of(r["phrase"])) for r in kept]
        assert target["labels"].tolist() == [1] * len(kept)
        assert target["tokens"].shape == (len(kept), 10)
        assert data.vocabulary.decode(target["tokens"]) == data.vocabulary.decode(
            data.vocabulary.encode([r["phrase"] for r in kept])
        )
    assert data.vocabulary.words[4:8] == ("the", "a", "on", "is")
    assert 200 < len(data.vocabulary) < 300


def test_defects_are_clipped_dropped_and_counted(tmp_path: Path) -> None:
    regions = [
        region("A Dog. ", x=-5, y=-3, width=10, height=10),  # partly outside
        region("a dog", x=50, y=30, width=100, height=100),
        region("a dog", width=0),
        region("a dog", height=-4),
        region("a dog", x=WIDTH, y=3),  # outside
        region("a dog", x=-30, y=3),
        region("one two three four five six seven eight nine ten eleven"),
        region(" ... "),
        region("zebra", x=3.5, region_id=None),
        region("a dog"),
        region("a dog"),
    ]
    root = write(tmp_path, [{"id": 1, "regions": regions}, {"id": 3, "regions": []}, {"id": 2, "regions": []}])
    data = opened(root, min_count=2)
    assert counts(data) == {
        **{"images": 3, "images_without_regions": 2, "regions": 5, "clipped": 2, "dropped": 4},
        **{"long": 1, "wordless": 1, "unknown": 1},
    }
    assert [note.rpartition(": ")[2] for note in data.splits["train"].notes] == [
        "6 of 11 regions are left out (4 lie outside their image or have no area, 1 have more than max_words=10 words, "
        "1 have no word).",
        "2 of 5 boxes reach outside their image and are clipped, as if their size were written as corners, or the "
        "other way round.",
    ]
    first, second, third = targets(data)
    assert first["boxes"].tolist() == [[0, 0, 5, 7], [50, 30, 60, 40], [3.5, 2, 13.5, 22], *[[1, 2, 11, 22]] * 2]
    assert first["phrases"] == ["a dog", "a dog", "zebra", "a dog", "a dog"]
    assert data.vocabulary.words[4:] == ("a", "dog")
    assert first["tokens"][:, :3].tolist() == [[4, 5, 0], [4, 5, 0], [3, 0, 0], [4, 5, 0], [4, 5, 0]]
    assert (second["boxes"].shape, second["tokens"].shape, second["phrases"]) == ((0, 4), (0, 10), [])
    assert [int(target["image_id"]) for target in (first, second, third)] == [0, 1, 2]
    assert (first["area"][0], first["iscrowd"].tolist()) == (35, [0] * 5)


@pytest.mark.parametrize(
    "described",
    [
        [{"id": n, "regions": [region("a dog", region_id=n, image_id=n)]} for n in (1, 2, 3)],  # v1.4
        [{"image_id": n, "regions": [region("a dog")]} for n in (1, 2, 3)],
        [{"regions": [region("a dog", image_id=n)]} for n in (1, 2, 3)],
        [{"regions": [region("a dog", id=7, image=n)]} for n in (1, 2, 3)],
    ],
)
def test_image_ids_of_every_form(tmp_path: Path, described: Json) -> None:
    data = opened(write(tmp_path, described))
    assert [data.splits["val"].name(k) for k in range(3)] == ["VG_100K_2/1.jpg", "VG_100K/2.jpg", "VG_100K_2/3.jpg"]
    assert counts(data)["regions"] == 3


def test_texts_may_contain_brackets_quotes_and_accents(tmp_path: Path) -> None:
    described = [{"id": n, "regions": [region(f'café {{[\\"{n}"]}}', x=k) for k in range(n % 4)]} for n in range(1, 30)]
    path = write(tmp_path, json.dumps(described, ensure_ascii=False, indent=1)) / files.REGIONS
    found = files.read_regions(path)
    assert found.image_ids.tolist() == list(range(1, 30))
    assert np.diff(found.offsets).tolist() == [n % 4 for n in range(1, 30)]
    texts = [words_of(one["phrase"]) for image in described for one in image["regions"]]
    assert [found.lexicon[word] for word in found.words] == [word for text in texts for word in text]
    assert found.lexicon[:2] == ["cafe", "1"]


@pytest.mark.parametrize(
    ("described", "sentence"),
    [
        (json.dumps(three())[:-30], r"is not valid JSON \(it is cut off after"),
        (json.dumps(three())[:-1], "cut off"),
        (json.dumps(three()).replace('"width": 10', '"width": oops', 1), r"is not valid JSON \(.* after byte"),
        ("", r"is not valid JSON \(it is empty\)"),
        (json.dumps({"regions": []}), "holds an object, not a list: choose"),
        ([{"id": 1}], "entry 0 .*'regions'"),
        ([*three(), {"id": 4, "regions": [{"phrase": "a dog"}]}], "entry 3 .*'x'"),
        ([*three(), {"id": 4, "regions": [region("a dog", x="7")]}], r'entry 3 in region 0 \(x is "7", not a number\)'),
        ([*three(), {"id": 4, "regions": [{**region(""), "phrase": None}]}], r"region 0 \(phrase is null, not text\)"),
        ([{"id": 4, "regions": [region("a dog", width=None)]}], r"region 0 \(width is null, not a number\)"),
        ([{"id": 4, "regions": [7]}], r"entry 0 in region 0 \(it is 7, not an object\)"),
        ([{"id": 4, "regions": 7}], r"entry 0 \('regions' is 7, not a list\)"),
        ([{"id": 2**63, "regions": []}], r"entry 0 \(id is 9223372036854775808, not a number\)"),
        ([{"regions": [region("a dog", image_id=1.5)]}], r"entry 0 \(image_id is 1.5, not a number\)"),
        ([{"id": "one", "regions": []}], r'entry 0 \(id is "one", not a number\)'),
        ([{"regions": []}], r"entry 0 \(neither it nor its first region has the id of the image\)"),
        ([*three(), 5], r"entry 3 \(it is 5, not an object\); fix it, or fetch"),
        ([{"id": 1, "regions": [region("a dog", x=0.1, y=0.2, width=0.3, height=0.4)]}], "lie within one pixel"),
        ([*three(), *three()], "describes image 1 twice"),
    ],
)
def test_a_file_that_cannot_be_trusted_is_one_sentence(tmp_path: Path, described: Json, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence) as error:
        opened(write(tmp_path, described))
    assert str(tmp_path / files.REGIONS) in str(error.value)


def test_a_sweep_over_min_count_needs_no_vocabulary_size(tmp_path: Path) -> None:
    """The size of the network follows from the data of each run, also before it is prepared."""
    root = write(tmp_path, three())
    sizes = [
        CaptioningTask.size(VisualGenomeDataModule(str(root), train_sets=["all"], min_count=count)).value
        for count in (1, 3)
    ]
    assert sizes == [len(SPECIAL) + 5, len(SPECIAL) + 2]  # a, dog, 1, 2, 3; a, dog


def test_a_damaged_entry_is_one_sentence(tmp_path: Path) -> None:
    path = write(tmp_path, '[{"id": 1, "regions": [}, ' + json.dumps(three() * 500)[1:]) / files.REGIONS
    with pytest.raises(UserError, match=r"region_descriptions\.json is not valid JSON \(it is cut off"):
        files.read_regions(path)


def test_sets_by_name(tmp_path: Path) -> None:
    root = write(tmp_path, three())
    (root / files.DENSECAP).write_text(json.dumps({"train": [3, 1], "val": [2], "test": [1]}))
    (root / "mine.txt").write_text("2\n3\n")
    data = opened(root, train_sets=["densecap_train"], val_sets=["densecap_val"], test_sets=["mine"])
    names = {split: [packed.name(k) for k in range(len(packed))] for split, packed in data.splits.items()}
    assert names == {
        "train": ["VG_100K_2/3.jpg", "VG_100K_2/1.jpg"],
        "val": ["VG_100K/2.jpg"],
        "test": ["VG_100K/2.jpg", "VG_100K_2/3.jpg"],
    }
    assert data.vocabulary.words[4:] == ("a", "dog", "1", "3")
    for packed in data.splits.values():  # all splits have the vocabulary of the training phrases
        assert packed.vocabulary.words == data.vocabulary.words
    assert targets(data)[0]["phrases"] == ["a dog 2"]
    assert targets(data)[0]["tokens"][0, :3].tolist() == [4, 5, 3]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"train_sets": ["densecap_train"]}, r"densecap_splits.json is missing.*\(mine, none\)"),
        ({"train_sets": ["other"]}, r"other.txt is missing"),
        ({"train_sets": ["none"]}, "'none' .* is empty"),
        ({"val_sets": ["mine", "all"]}, "names image 1 a second time: remove it, or choose other sets"),
        ({"train_sets": ["mine"]}, r"descriptions\.json lacks the regions of image 9, which .*mine\.txt names: fetch"),
        ({"train_sets": []}, "train_sets is empty"),
        ({"max_words": 0}, "must be at least 1"),
        ({"augmentation": "flip"}, "choose none or a list of color transforms"),
        ({"augmentation": [A.HorizontalFlip()]}, "HorizontalFlip, which may move pixels"),
    ],
)
def test_unusable_options_are_one_sentence(tmp_path: Path, options: dict[str, Any], sentence: str) -> None:
    root = write(tmp_path, three())
    (root / "mine.txt").write_text("1 9\n" if "train_sets" in options else "1\n")
    (root / "none.txt").write_text("\n")
    with pytest.raises(UserError, match=sentence):
        opened(root, **options)


def test_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    root = write(tmp_path / "a", three(), images=[1, 2])
    with pytest.raises(UserError, match=r"a lacks the file of image 3, which .* names: fetch it again"):
        opened(root)
    with pytest.raises(UserError, match="holds neither VG_100K nor VG_100K_2"):
        opened(write(tmp_path / "b", three(), images=[]))
    root = write(tmp_path / "c", three())
    (root / files.IMAGES).write_text("[]")
    with pytest.raises(UserError, match=r"image_data.json lacks the size of image 1, which .* names: fetch it again"):
        opened(root)
    (root / files.IMAGES).unlink()
    with pytest.raises(UserError, match=r"image_data.json cannot be read"):
        opened(root)
    (root / files.REGIONS).unlink()
    with pytest.raises(UserError, match=r"region_descriptions.json is missing"):
        opened(root)


def test_an_image_of_another_size_is_found_when_it_is_read(tmp_path: Path) -> None:
    data = opened(write(tmp_path, three()))
    cv2.imwrite(str(tmp_path / "VG_100K" / "2.jpg"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(UserError, match="is 9x9 pixels but its annotation says 60x40"):
        targets(data)


def test_shuffled_phrases_keep_boxes_and_move_every_phrase(tmp_path: Path) -> None:
    described = [{"id": n, "regions": [region(f"dog {n} {k}", x=k) for k in range(8)]} for n in (1, 2, 3)]
    root = write(tmp_path, described)
    plain, shuffled = opened(root), opened(root, shuffle_phrases=True, seed=4)
    order = [(0, k) for k in range(3)]
    for split, training in (("train", True), ("val", False)):
        before = [plain.dataset(plain.splits[split], training)[key][1] for key in order]
        after = [shuffled.dataset(shuffled.splits[split], training)[key][1] for key in order]
        for own, other in zip(before, after, strict=True):
            assert torch.equal(own["boxes"], other["boxes"])
            moved = [a != b for a, b in zip(own["phrases"], other["phrases"], strict=True)]
            assert all(moved) if training else not any(moved)
            assert shuffled.vocabulary.decode(other["tokens"]) == other["phrases"]
        spoken = [sorted(text for target in side for text in target["phrases"]) for side in (before, after)]
        assert spoken[0] == spoken[1]


def test_colors_change_and_boxes_stay(tmp_path: Path) -> None:
    root = write(tmp_path, three())
    data = opened(root, augmentation=[A.RandomBrightnessContrast(p=1.0)], seed=1)
    dataset = data.dataset(data.splits["train"], training=True)
    (first, target), (second, _), (again, _) = (dataset[key] for key in ((0, 1), (1, 1), (0, 1)))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert target["boxes"].tolist() == [[1, 2, 11, 22]]


def test_workers_give_what_this_process_gives(tmp_path: Path) -> None:
    root = write(tmp_path, three())
    for own, theirs in zip(targets(opened(root)), targets(opened(root, num_workers=1)), strict=True):
        assert own.keys() == theirs.keys()
        for key, value in own.items():
            assert torch.equal(value, theirs[key]) if isinstance(value, torch.Tensor) else value == theirs[key]
    packed = opened(root).splits["train"]
    assert pickle.loads(pickle.dumps(packed)).phrases(np.arange(3)) == ["a dog 1", "a dog 2", "a dog 3"]


def test_changed_files_are_packed_again(tmp_path: Path) -> None:
    root = write(tmp_path, [*three()[:2], {"id": 3, "regions": [region("a dog")]}])
    first = opened(root)
    assert opened(root).fingerprint == first.fingerprint
    assert opened(root, max_words=2).counts["train/long"] == 2
    assert opened(root, min_count=3).vocabulary.words[4:] == ("a", "dog")
    write(root, three(x=4))
    assert opened(root).fingerprint != first.fingerprint
    assert targets(opened(root))[0]["boxes"][0, 0] == 4


@pytest.mark.filterwarnings("ignore")
def test_the_config_parser_creates_it(tmp_path: Path) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(VisualGenomeDataModule, "data")
    transforms = "[{class_path: datamodules.augmentation.ssd_transforms.PhotometricDistortion, init_args: {hue: 5}}]"
    options = ["--data.root=data", "--data.train_sets=[all]", f"--data.augmentation={transforms}"]
    data = parser.instantiate_classes(parser.parse_args(options)).data
    assert data.sets == {"train": ["all"], "val": ["densecap_val"], "test": []}
    assert data.augmentation is not None
    with pytest.raises(Exception, match="augmentation"):
        parser.parse_args(["--data.root=data", "--data.augmentation=flip"])

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from datamodules import Shapes, VisualGenomeDataModule
from datamodules.visual_genome.generated import COLORS, KINDS, write_visual_genome
from lit_cv.cli import main
from lit_cv.errors import UserError

SETTINGS = Shapes(train=40, val=10, size=96, seed=3)


@pytest.fixture
def data(tmp_path: Path) -> VisualGenomeDataModule:
    data = VisualGenomeDataModule(str(tmp_path / "shapes"), "shapes", shapes=SETTINGS, min_count=2)
    data.prepare_data()
    data.setup()
    return data


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_settings_same_bytes_and_nothing_is_overwritten(tmp_path: Path) -> None:
    first, second = (digests(write_visual_genome(tmp_path / name, SETTINGS)) for name in "ab")
    assert first == second
    assert len(first) == 50 + 4
    write_visual_genome(tmp_path / "a", SETTINGS)
    assert digests(tmp_path / "a") == first
    with pytest.raises(UserError, match="generated with other settings"):
        write_visual_genome(tmp_path / "a", Shapes(train=40, val=10, size=96, seed=4))


def test_phrases_describe_their_boxes(data: VisualGenomeDataModule) -> None:
    packed = data.splits["train"]
    relations = dict.fromkeys(("left", "right", "above", "below"), 0)
    singles = 0
    for index in range(len(packed)):
        rows = packed.rows(index)
        image = cv2.imread(str(data.root / packed.name(index)))[:, :, ::-1].astype(float)
        texts = packed.phrases(np.arange(rows.start, rows.stop))
        pairs = sum(" of " in text or "above" in text or "below" in text for text in texts)
        assert len(texts) - pairs in (2, 4, 6)
        for text, box in zip(texts, packed.boxes[rows].round().astype(int).tolist(), strict=True):
            words = text.split()
            if len(words) == 2:  # red circle; circle, red
                color, kind = words if words[0] in COLORS else words[::-1]
                assert kind in KINDS
                patch = image[box[1] : box[3], box[0] : box[2]].reshape(-1, 3)
                share = (np.abs(patch - COLORS[color]).mean(axis=1) < 40).mean()
                assert share > 0.01, (text, index)  # only the ends of a bar may be visible
                singles += 1
            else:
                relations[next(word for word in words if word in relations)] += 1
                # the reverse is said too
                assert any(other.split()[:2] == words[-2:] and other.split()[-2:] == words[:2] for other in texts)
    assert singles >= 2 * 40
    assert relations["left"] == relations["right"] > 2
    assert relations["above"] == relations["below"] > 2


def test_the_data_module_reads_it_with_the_names_of_densecap(data: VisualGenomeDataModule) -> None:
    counts = data.counts
    assert (counts["train/images"], counts["val/images"]) == (40, 10)
    assert counts["train/clipped"] == 0
    assert all(counts[f"{split}/{what}"] == 0 for split in ("train", "val") for what in ("dropped", "long", "wordless"))
    assert {"circle", "left", "red", "star"} < set(data.vocabulary.words)
    assert not {data.splits["train"].name(k) for k in range(40)} & {data.splits["val"].name(k) for k in range(10)}


def test_the_vocabulary_is_available_first(tmp_path: Path) -> None:
    data = VisualGenomeDataModule(str(tmp_path / "shapes"), "shapes", shapes=SETTINGS, min_count=2)
    assert "circle" in data.vocabulary.ids


def test_the_shapes_command_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "vg"
    assert main(["shapes", "visual_genome", str(folder), "--train", "3", "--val", "2", "--size", "64"]) == 0
    assert f"written: {folder}" in capsys.readouterr().out
    assert len(list((folder / "VG_100K").iterdir())) == 5

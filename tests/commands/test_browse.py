import base64
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lit_cv.cli import main

ROOT = Path(__file__).parents[2]
Pixels = NDArray[np.uint8]


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LITCV_CACHE", str(tmp_path / "cache"))


def browse(config: str, output: Path, *args: str) -> tuple[str, list[Pixels], list[str]]:
    """Run browse and return the page, its pictures and their captions."""
    assert main(["browse", f"experiments/{config}.yaml", "--output", str(output), *args]) == 0
    page = output.read_text()
    data = [base64.b64decode(text) for text in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)]
    pictures = [cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) for content in data]
    return page, pictures, re.findall(r"<figcaption>(.*?)</figcaption>", page)


def scenes(folder: Path) -> list[str]:
    return [f"--data.root={folder}", "--data.shapes={train: 6, val: 3, size: 64}"]


def raw(folder: Path, caption: str, picture: Pixels) -> Pixels:
    """Return the image that a caption names, enlarged to the size of its picture."""
    image = cv2.imread(str(folder / caption.split(",")[0]))
    zoom = picture.shape[1] // image.shape[1]
    return image.repeat(zoom, axis=0).repeat(zoom, axis=1)


@pytest.mark.parametrize("name", ["ssd", "localization", "fcn"])
def test_the_page_shows_each_sample_with_its_target(name: str, tmp_path: Path) -> None:
    page, pictures, captions = browse(
        f"quickstart/{name}", tmp_path / "new" / "page.html", *scenes(tmp_path), "--split", "val", "--samples", "9"
    )
    assert len(pictures) == len(captions) == 3  # all samples of the split
    assert "3 of 3 samples of VOC" in page
    assert "not augmented" in page
    assert "http" not in page  # the page loads nothing from the network
    for picture, caption in zip(pictures, captions, strict=True):
        image = raw(tmp_path, caption, picture)
        difference = np.abs(picture[: len(image), : image.shape[1]].astype(int) - image).max(axis=2)
        share = (difference > 60).mean()
        assert 0.005 < share < 0.6, caption  # the target is drawn, and most of the picture is still the image
        if name == "ssd":
            boxes = (tmp_path / caption.split(",")[0].replace("JPEGImages", "Annotations")).with_suffix(".xml")
            text = boxes.read_text()
            assert caption.endswith(f"objects: {text.count('<object>')}")
            x, y = (int(re.findall(f"<{side}>(.*?)</{side}>", text)[0]) for side in ("xmin", "ymax"))
            zoom = picture.shape[1] // 64
            assert difference[y * zoom - 1, (x + 1) * zoom] > 60  # the lower edge of the first box


def test_training_samples_are_those_of_the_epoch(tmp_path: Path) -> None:
    args = [*scenes(tmp_path), "--data.augmentation=ssd", "--samples", "4"]
    page, first, captions = browse("quickstart/ssd", tmp_path / "a.html", *args)
    assert "augmented as in epoch 0 (seed 1)" in page
    _, again, _ = browse("quickstart/ssd", tmp_path / "b.html", *args)
    assert len(first) == 4
    assert all(map(np.array_equal, first, again))
    _, _, others = browse("quickstart/ssd", tmp_path / "c.html", *args, "--epoch", "3")
    assert others != captions
    _, _, of_seed = browse("quickstart/ssd", tmp_path / "d.html", *args, "--seed_everything=7")
    assert of_seed not in (captions, others)
    small = [not np.array_equal(raw(tmp_path, c, p).shape, p.shape) for c, p in zip(captions, first, strict=True)]
    assert any(small)  # cropped


def test_poses_are_drawn(tmp_path: Path) -> None:
    for config in ("quickstart/pose", "lsp/pose_squeezenet"):
        shapes = scenes(tmp_path / config)
        args = [*shapes, "--data.source=shapes", "--data.flip=0", "--data.rotation=0", "--samples", "2"]
        _, pictures, _ = browse(config, tmp_path / "page.html", *args)
        assert len(pictures) == 2
        for picture in pictures:
            blue, green, red = (picture[..., channel].astype(int) for channel in range(3))
            assert ((blue > 180) & (red < 90) & (green > 120)).sum() > 50  # left side of the skeleton
            assert ((red > 180) & (blue < 90) & (green < 170)).sum() > 50  # right side of the skeleton


def test_samples_with_proposals_are_shown_after_the_proposals_are_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["experiments/quickstart/fast_rcnn.yaml", *scenes(tmp_path), "--data.proposals.mode=single"]
    assert main(["browse", *args, "--output", str(tmp_path / "none.html")]) == 1
    assert "are missing: compute them with `litcv proposals CONFIG`" in capsys.readouterr().err
    assert main(["proposals", *args]) == 0
    _, pictures, captions = browse("quickstart/fast_rcnn", tmp_path / "page.html", *args[1:])
    assert len(pictures) == 6
    assert all("objects: " in caption for caption in captions)


@pytest.mark.parametrize(
    ("args", "code", "sentence"),
    [
        (["browse"], 2, "CONFIG"),
        (["browse", "experiments/none.yaml"], 1, "there is no such file"),
        (["browse", "experiments/quickstart/ssd.yaml", "--samples", "0"], 2, "give at least 1"),
        (
            ["browse", "experiments/quickstart/ssd.yaml", "--split", "test"],
            2,
            "--split: there is no test; choose from train, val.",
        ),
        (["browse", "experiments/quickstart/ssd.yaml", "--output", "{tmp}/file/x.html"], 1, "cannot write the page"),
        (["browse", "experiments/voc/yolo.yaml", "--data.root={tmp}"], 1, "holds no VOCdevkit folder"),
    ],
)
def test_user_errors_are_one_sentence(
    args: list[str], code: int, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    args = [arg.replace("{tmp}", str(tmp_path)) for arg in args]
    small = scenes(tmp_path / "data") if "quickstart" in " ".join(args) else []
    try:
        found = main([*args, *small])
    except SystemExit as exit_:
        found = int(exit_.code or 0)
    assert found == code
    assert sentence in capsys.readouterr().err

"""Run doctor and browse on real subsets of every data set."""

import base64
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from lit_cv.cli import main

ROOT = Path(__file__).parents[2]
VOC_OF_BOTH_YEARS = ("--data.train_sets=[2012_trainval]", "--data.val_sets=[2007_trainval]")
VOC_OF_2007 = ("--data.train_sets=[2007_train]", "--data.val_sets=[2007_trainval]")
DETECTION = ("--data=datamodules.COCODetectionDataModule",)
ALL = ("--data.train_sets=[all]", "--data.val_sets=[all]")
# Three pictures of VOC2007 are also in VOC2012. VOC's masks of objects are not read. In LSP, two labeled joints lie
# outside the image; coordinates of unlabeled joints are ignored. COCO's crowds are no defect.
CASES = [
    ("voc/ssd_squeezenet", "", VOC_OF_BOTH_YEARS, "leak: 3; images: train 426, val 6"),
    ("voc/fcn_squeezenet", "", VOC_OF_2007, "leak: 2; images: train 2, val 3"),
    ("voc/localization_squeezenet", "", VOC_OF_2007, "leak: 2; images: train 2, val 6"),
    ("coco/mask_rcnn_squeezenet", "coco", DETECTION, "no defect found; images: train 110, val 126"),
    ("coco/mask_rcnn_squeezenet", "coco", (), "no defect found; images: train 110, val 126"),
    ("coco/keypoint_rcnn_squeezenet", "coco", (), "no defect found; images: train 53, val 53"),
    ("lsp/pose_squeezenet", "lspet", (), "joint outside the image: 2; images: train 160, val 40"),
    ("mpii/pose_resnet50", "mpii", ("--data.annotations=json",), "unusable annotations: 1; images: val 3"),
    (
        "visual_genome/densecap_squeezenet",
        "visual_genome",
        ALL,
        "leak: 3; notes: near-duplicate: 50, phrase without a known word: 14, long phrase: 3; images: train 3, val 3",
    ),
]


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LITCV_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(("config", "folder", "options", "summary"), CASES)
def test_the_known_defects_are_found_and_the_samples_shown(
    config: str,
    folder: str,
    options: tuple[str, ...],
    summary: str,
    real_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    args = [f"experiments/{config}.yaml", *options, f"--data.root={real_data / folder}"]
    code = main(["doctor", *args])
    lines = capsys.readouterr().out.splitlines()
    assert (code, lines[-1]) == (int(not summary.startswith("no defect")), summary)
    assert sum(map(int, re.findall(r": (\d+)[,;]", summary))) == len(lines) - 1
    notes = sum(map(int, re.findall(r": (\d+)", summary.partition("notes: ")[2].partition(";")[0])))
    assert all(line.startswith("note: ") is (place >= len(lines) - 1 - notes) for place, line in enumerate(lines[:-1]))
    if options == VOC_OF_BOTH_YEARS:
        assert [Path(line.split(": ")[0]).stem for line in lines[:-1]] == ["000032", "000033", "000039"]

    page = tmp_path / "page.html"
    assert main(["browse", *args, "--split", "val", "--samples", "2", "--output", str(page)]) == 0
    text = page.read_text()
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", text)
    data = [base64.b64decode(found) for found in re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)]
    assert len(captions) == len(data) == 2
    for content, caption in zip(data, captions, strict=True):
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        image = cv2.imread(str(real_data / folder / caption.split(",")[0]))
        if picture.shape == image.shape and not caption.endswith("objects: 0"):  # and no crop of a person
            drawn = np.abs(picture.astype(int) - image).max(axis=2) > 60
            assert 0.003 < drawn.mean() < 0.8, caption

"""The files for evaluation servers, read by other programs, give the numbers of `validate`."""

import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import scipy.io
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from datamodules import Shapes
from datamodules.voc.generated import write_voc
from lit_cv.cli import main
from lit_cv.predictions.files import Predictions
from tests.predictions.guesses import evaluated, scored_again

STATS = ("map", "map_50", "map_75", "map_small", "map_medium", "map_large", "mar_1", "mar_10", "mar_100")
PEOPLE_STATS = ("map", "map_50", "map_75", "map_medium", "map_large", "mar_20")


def columns(found: dict[str, Any]) -> list[Any]:
    return [found[key].tolist() for key in ("labels", "scores", "boxes")]


def exported(run: Path, form: str) -> Path:
    assert main(["export", str(run), "--results", form]) == 0
    return run / "results"


def test_pycocotools_agrees_on_boxes_masks_and_joints_and_so_do_we(tmp_path: Path) -> None:
    measured = evaluated("instances", tmp_path).trainer.callback_metrics
    results = exported(tmp_path, "coco")
    shutil.copytree(tmp_path / "predictions", tmp_path / "predictions_ema")
    assert main(["export", str(tmp_path), "--results", "coco", "--predictions", "predictions_ema/val"]) == 0
    truth = COCO(str(tmp_path / "data" / "annotations" / "person_keypoints_val2017.json"))
    for kind, prefix in (("bbox", ""), ("segm", "mask_"), ("keypoints", "oks_")):
        file = results / f"val_{kind}.json"
        official = COCOeval(truth, truth.loadRes(str(file)), kind)
        official.evaluate()
        official.accumulate()
        official.summarize()
        names = PEOPLE_STATS if kind == "keypoints" else STATS
        values = {f"val/{prefix}{name}": value for name, value in zip(names, official.stats, strict=False)}
        ours = {name: float(measured.get(name, -1)) for name in values}
        assert ours == pytest.approx(values, abs=1e-9)
        assert (tmp_path / "results_ema" / file.name).read_bytes() == file.read_bytes()
        again = scored_again(file, tmp_path)
        assert {name: again.get(name, -1.0) for name in values} == ours
        assert any(0 < value < 1 for value in ours.values())


def test_the_development_kit_gets_voc_boxes_of_inclusive_pixels_from_1(tmp_path: Path) -> None:
    evaluated("detection", tmp_path)
    folder = exported(tmp_path, "voc") / "results" / "VOC2012" / "Main"
    stored = Predictions.open(tmp_path / "predictions" / "val")
    assert sorted(file.name for file in folder.iterdir()) == [
        f"comp3_det_val_{name}.txt" for name in ("circle", "square", "triangle")
    ]
    rows = {
        (file.stem.rpartition("_")[2], image, *map(float, numbers))
        for file in folder.iterdir()
        for image, *numbers in (line.split() for line in file.read_text().splitlines())
    }
    wanted = {
        (stored.class_names[label - 1], Path(stored.names[index]).stem, score, x1 + 1, y1 + 1, x2, y2)
        for index, found in enumerate(stored)
        for label, score, (x1, y1, x2, y2) in zip(*columns(found), strict=True)
    }
    assert rows == wanted


def average_precision(detections: Path, voc: Path, kind: str) -> float:
    """Score one file of detections as VOCevaldet.m and VOCap.m of the development kit of VOC2012 do."""
    truth: dict[str, list[dict[str, Any]]] = {}
    for image in (voc / "ImageSets" / "Main" / "val.txt").read_text().split():
        objects = ElementTree.parse(voc / "Annotations" / f"{image}.xml").iter("object")
        truth[image] = [
            {
                "box": [float(item.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax")],
                "difficult": item.findtext("difficult") == "1",
                "found": False,
            }
            for item in objects
            if item.findtext("name") == kind
        ]
    positives = sum(not one["difficult"] for objects in truth.values() for one in objects)
    rows = [line.split() for line in detections.read_text().splitlines()]
    true, false = [0], [0]
    for image, _, *corners in sorted(rows, key=lambda row: -float(row[1])):
        left, top, right, bottom = map(float, corners)
        best, match = -np.inf, None
        for one in truth[image]:
            x1, y1, x2, y2 = one["box"]
            width, height = min(right, x2) - max(left, x1) + 1, min(bottom, y2) - max(top, y1) + 1
            if width > 0 and height > 0:
                areas = (right - left + 1) * (bottom - top + 1) + (x2 - x1 + 1) * (y2 - y1 + 1)
                overlap = width * height / (areas - width * height)
                best, match = max((best, match), (overlap, one), key=lambda pair: pair[0])
        if match is not None and best >= 0.5 and match["difficult"]:
            continue
        hit = match is not None and best >= 0.5 and not match["found"]
        if hit and match is not None:
            match["found"] = True
        true.append(true[-1] + hit)
        false.append(false[-1] + (not hit))
    recalls = [*(count / positives for count in true), 1.0]
    precisions = [0.0, *(hit / (hit + miss) for hit, miss in zip(true[1:], false[1:], strict=True)), 0.0]
    highest = np.maximum.accumulate(precisions[::-1])[::-1]
    return float(np.sum(np.diff(recalls) * highest[1:]))


def test_the_development_kits_rule_gives_our_ap_from_the_files(tmp_path: Path) -> None:
    write_voc(tmp_path / "data", Shapes(train=6, val=9, size=64))
    voc = tmp_path / "data" / "VOCdevkit" / "VOC2012"
    for file in sorted((voc / "Annotations").glob("*.xml"))[::3]:
        file.write_text(file.read_text().replace("<difficult>0<", "<difficult>1<", 1))
    measured = evaluated("detection", tmp_path).trainer.callback_metrics
    folder = exported(tmp_path, "voc") / "results" / "VOC2012" / "Main"
    found = {
        kind: average_precision(folder / f"comp3_det_val_{kind}.txt", voc, kind)
        for kind in ("circle", "square", "triangle")
    }
    ours = {kind: float(measured[f"val/voc_ap/{kind}"]) for kind in found}
    assert found == pytest.approx(ours, abs=1e-9)
    assert np.mean(list(found.values())) == pytest.approx(float(measured["val/voc_map"]), abs=1e-9)
    assert min(found.values()) < max(found.values())


@pytest.mark.parametrize("form", ["voc", "png"])
def test_palette_masks_have_the_measured_iou(form: str, tmp_path: Path) -> None:
    measured = evaluated("segmentation", tmp_path).trainer.callback_metrics
    folder = exported(tmp_path, form)
    folder = folder / "results" / "VOC2012" / "Segmentation" / "comp6_val_cls" if form == "voc" else folder
    wanted = tmp_path / "data" / "VOCdevkit" / "VOC2012" / "SegmentationClass"
    pairs = [(np.array(Image.open(wanted / file.name)), Image.open(file)) for file in sorted(folder.glob("*.png"))]
    assert len(pairs) == 9
    assert {image.mode for _, image in pairs} == {"P"}
    true = np.concatenate([target[target != 255] for target, _ in pairs])
    found = np.concatenate([np.array(image)[target != 255] for target, image in pairs])
    both = np.bincount(4 * true.astype(int) + found, minlength=16).reshape(4, 4)
    iou = np.diag(both) / (both.sum(axis=0) + both.sum(axis=1) - np.diag(both))
    assert iou.mean() == pytest.approx(float(measured["val/miou"]), abs=1e-9)


def test_mpii_gets_points_in_whole_images_in_the_places_of_its_people(tmp_path: Path) -> None:
    settings = {"class_path": "datamodules.MPIIPoseDataModule"}
    measured = evaluated("pose", tmp_path, **settings).trainer.callback_metrics
    found = scipy.io.loadmat(exported(tmp_path, "mpii") / "pred_keypoints_mpii.mat")["pred"].ravel()
    release = scipy.io.loadmat(next((tmp_path / "data").rglob("*.mat")))["RELEASE"][0, 0]
    truth = {image["image"][0, 0]["name"][0]: image["annorect"].ravel() for image in release["annolist"].ravel()}
    hits = []
    for image in found:
        people = truth[image["image"][0, 0]["name"][0]]
        assert len(image["annorect"].ravel()) == len(people)
        for pose, person in zip(image["annorect"].ravel(), people, strict=True):
            points = {int(p["id"][0, 0]): p for p in pose["annopoints"][0, 0]["point"].ravel()}
            assert sorted(points) == list(range(16))
            head = 0.6 * np.hypot(*(person[f"{axis}2"].item() - person[f"{axis}1"].item() for axis in "xy"))
            for wanted in person["annopoints"][0, 0]["point"].ravel():
                joint = int(wanted["id"].item())
                error = np.hypot(*(points[joint][axis].item() - wanted[axis].item() for axis in "xy"))
                hits += [error <= head / 2] if joint not in (6, 7) else []
    assert 0.05 < np.mean(hits) < 1
    assert np.mean(hits) == pytest.approx(float(measured["val/pckh"]), abs=1e-9)


@pytest.mark.parametrize(
    ("kind", "form", "said"),
    [
        ("detection", "png", "holds boxes, scores, labels; choose coco or voc."),
        ("detection", "mpii", "holds boxes, scores, labels; choose coco or voc."),
        ("pose", "coco", "holds keypoints; choose mpii."),
        ("pose", "mpii", "--results mpii: LSPPoseDataModule does not have MPII's people"),
    ],
)
def test_a_form_for_other_predictions_is_refused(
    kind: str, form: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluated(kind, tmp_path)
    assert main(["export", str(tmp_path), "--results", form]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("test", "litcv test {}`"),
        ("predictions_ema/val", "litcv validate {} --weights ema`"),
        ("predictions_ema_tta/test", "litcv test {} --weights ema --tta '{{}}'`"),
    ],
)
def test_a_run_without_predictions_is_told_how_to_write_them(
    name: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("")
    assert main(["export", str(tmp_path), "--results", "coco", "--predictions", name]) == 1
    assert f"there are no predictions; write them with `{command.format(tmp_path)}." in capsys.readouterr().err

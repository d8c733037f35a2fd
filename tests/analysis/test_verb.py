"""`litcv analyze` and `litcv report --analyze` on guesses of a task, and what they refuse."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lit_cv.analysis.files import read_numbers
from tests.console.console import litcv
from tests.helpers import chromium
from tests.predictions.guesses import evaluated

needs_chromium = pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A group with a run of instances, a copy with worse boxes, and a run of other images."""
    group = tmp_path_factory.mktemp("runs") / "group"
    for name, shapes in (("first", 9), ("other", 5)):
        (group / name).mkdir(parents=True)
        evaluated("instances", group / name, shapes={"train": 4, "val": shapes, "size": 64})
    shutil.copytree(group / "first", group / "second")
    boxes = group / "second" / "predictions" / "val" / "boxes.npy"
    np.save(boxes, np.load(boxes) + np.float32(12))
    shutil.copytree(group / "first", group / "empty")
    shutil.rmtree(group / "empty" / "predictions")
    return group


@pytest.fixture(scope="module")
def answer(runs: Path) -> tuple[str, Path]:
    found = litcv("analyze", str(runs / "first"))
    assert (found.code, found.errors) == (0, [])
    return found.output, runs / "first" / "analysis"


def test_the_console_prints_sentences_and_the_page(answer: tuple[str, Path]) -> None:
    output, folder = answer
    lines = output.splitlines()
    assert lines[-1] == f"written: {folder / 'index.html'}"
    assert sum(line.startswith("- ") for line in lines) > 3
    assert "objects are missed altogether" in output


def test_numbers_are_those_of_the_metrics_and_tables_are_files(answer: tuple[str, Path], runs: Path) -> None:
    _, folder = answer
    numbers, record = read_numbers(folder) or ({}, {})
    measured = litcv("evaluate", str(runs / "first/predictions/val"), str(runs / "first/config.yaml"), "--output",
                     str(folder / "scores.json"))  # fmt: skip
    scores = json.loads((folder / "scores.json").read_text())
    assert measured.code == 0
    for name in ("map", "map_50", "map_75", "map_small", "mask_map", "oks_map"):
        assert numbers[name].value == pytest.approx(scores[f"val/{name}"], abs=1e-12), name
    assert {"split": "val", "run": "group/first"}.items() <= record.items()
    for name in ("errors", "groups", "classes", "confusions", "mask_errors", "oks_joints"):
        rows = list(csv.reader((folder / f"{name}.csv").open()))
        assert len(rows) > 1 or name == "confusions"
        assert len({len(row) for row in rows}) == 1
    images = json.loads((runs / "first/predictions/val/meta.json").read_text())["images"]
    assert len(list(csv.reader((folder / "images.csv").open()))) == images + 1 > 1


@needs_chromium
def test_the_page_asks_for_nothing_and_fits_a_phone(answer: tuple[str, Path], tmp_path: Path) -> None:
    with chromium.browser(tmp_path) as page:
        for width in (1280, 400):
            page.resize(width)
            page.open(answer[1] / "index.html")
            assert page.run("document.documentElement.scrollWidth") <= width
            assert page.run("[...document.images].filter(image => !image.naturalWidth).length") == 0
        first = "document.querySelector('#classes tbody th').getBoundingClientRect().left"
        left = page.run(first)
        page.run("document.querySelector('#classes .scroll').scrollLeft = 150")
        assert page.run("document.querySelector('#classes .scroll').scrollLeft") == 150
        assert page.run(first) == left
        assert page.complaints() == []
        assert [address for address in page.requests() if not address.startswith("file:")] == []


def test_two_runs_are_compared_on_the_images_on_which_they_differ(runs: Path) -> None:
    found = litcv("analyze", str(runs / "first"), str(runs / "second"))
    folder = runs / "second" / "analysis_beside_first"
    assert (found.code, found.errors) == (0, [])
    assert "These are single runs" in found.output
    assert f"written: {folder / 'index.html'}" in found.output
    changes = {row[0]: float(row[1]) for row in list(csv.reader((folder / "images.csv").open()))[1:]}
    largest = max(changes, key=lambda image: abs(changes[image]))
    assert changes[largest] > 0
    assert (folder / f"differs_{largest}.png").is_file()


REFUSED = {
    "empty": (["empty"], [], "has no predictions of val", "litcv validate"),
    "test": (["first"], ["--split", "test"], "has no predictions of test", "litcv test"),
    "best": (["first"], ["--split", "val_best"], "has no predictions of val_best", "best.ckpt"),
    "images": (["first", "other"], [], "has predictions of other images than", "evaluate both on the same data"),
    "itself": (["first", "first"], [], "is RUN itself", "give another run"),
    "missing": (["none"], [], "there is no such folder", "give the folder of a run"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_one_sentence_says_what_is_refused(case: str, runs: Path) -> None:
    (names, options, reason, way) = REFUSED[case]
    found = litcv("analyze", *(str(runs / name) for name in names), *options)
    assert found.code in (1, 2)
    assert len(found.errors) == 1
    assert reason in found.errors[0]
    assert way in found.errors[0]


def test_a_run_without_objects_is_said(runs: Path, tmp_path: Path) -> None:
    run = tmp_path / "blank"
    shutil.copytree(runs / "first", run)
    for column in ("boxes", "scores", "labels", "masks", "masks_ends", "keypoints", "offsets"):
        file = run / "predictions" / "val" / f"{column}.npy"
        np.save(file, np.load(file) * 0 if column == "offsets" else np.load(file)[:0])
    found = litcv("analyze", str(run))
    assert (found.code, found.errors) == (0, [])
    assert "are missed altogether" in found.output

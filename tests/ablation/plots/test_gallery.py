import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lit_cv.ablation.plots.gallery import halves, last_pictures, shown_arms
from lit_cv.ablation.report.report import find_baseline
from lit_cv.ablation.results.metric_facts import MetricFacts
from lit_cv.ablation.results.study import load_study
from lit_cv.ablation.results.tables import make_table
from lit_cv.commands.report import run_report
from lit_cv.errors import UserError
from lit_cv.renderers.canvas import side_by_side, write_png
from lit_cv.runs.files import write_json
from tests.helpers.fake_project import write_run

RATE = "model.optimizer.lr"
SHAPES = {3: (30, 40), 5: (50, 40), 7: (30, 40), 11: (30, 40), 20: (30, 40)}
RED, GREEN = (200, 0, 0), (0, 200, 0)


def flat(image: int, color: tuple[int, int, int]) -> np.ndarray:
    return np.full((*SHAPES[image], 3), color, dtype=np.uint8)


def draw(run: Path, step: int, image: int, blue: int = 0) -> Path:
    """Write a picture as the callback does: red truth and green prediction, both with the given blue value."""
    pair = [flat(image, (*RED[:2], blue)), flat(image, (*GREEN[:2], blue))]
    file = run / "pictures" / f"{step:06d}_{image}.png"
    write_png(file, side_by_side(pair, ["ground truth", "predictions"]))
    return file


def make_group(folder: Path, arms: int = 3, seeds: tuple[int, ...] = (1, 2)) -> Path:
    """Write runs without pictures whose score increases with the number of the arm."""
    planned = []
    for number in range(arms):
        runs = []
        for seed in seeds:
            run = folder / f"{number}_{seed}"
            config = {"model": {"optimizer": {"lr": number}}}
            write_run(run, seed=seed, config=config, score=0.1 + 0.05 * number)
            runs.append({"seed": seed, "id": run.name})
        planned.append({"values": {RATE: number}, "runs": runs})
    plan = {"name": "g", "description": "", "file": "g.yaml", "swept": [RATE], "arms": planned}
    write_json(folder / "sweep.json", plan | {"metric": {"name": "val/map_50", "goal": "maximize"}})
    return folder


def report(group: Path) -> list[str]:
    assert run_report([group]) == 0
    return sorted(file.name for file in (group / "report").iterdir())


def blue_columns(file: Path, hue: int) -> list[int]:
    """Return the blue values of the vertical red (0) or green (1) bands in a gallery, from left to right."""
    pixels = np.asarray(Image.open(file).convert("RGB")).astype(int)
    bands = []
    for column in pixels.transpose(1, 0, 2):
        inside = column[(abs(column[:, hue] - 200) < 3) & (abs(column[:, 1 - hue]) < 3)]
        bands.append(int(inside[0, 2]) if len(inside) else -1)
    return [value for before, value in zip([-1, *bands], bands, strict=False) if value >= 0 and before != value]


def test_a_picture_is_cut_into_its_two_halves(tmp_path: Path) -> None:
    truth, prediction = halves(draw(tmp_path, 10, 5, blue=9))
    assert (truth == flat(5, (200, 0, 9))).all()
    assert (prediction == flat(5, (0, 200, 9))).all()
    assert truth.shape == prediction.shape == (50, 40, 3)


def test_the_last_validation_counts(tmp_path: Path) -> None:
    group = make_group(tmp_path / "g", arms=1, seeds=(1,))
    run = load_study([group]).arms[0].runs[1]
    assert last_pictures(run) == {}
    files = {(step, image): draw(run.folder, step, image) for step, image in [(90, 3), (90, 5), (200, 3), (1000000, 7)]}
    (run.folder / "pictures" / "notes.png").write_bytes(b"")
    assert last_pictures(run) == {7: files[1000000, 7]}


def test_the_report_shows_truth_and_arms_side_by_side(tmp_path: Path) -> None:
    group = make_group(tmp_path / "g")
    assert "gallery.png" not in report(group)
    for number in range(3):
        for image in (20, 3, 5, 7, 11):
            draw(group / f"{number}_2", 200, image, blue=50 * number)
            draw(group / f"{number}_2", 100, image, blue=255)
    draw(group / "0_1", 200, 3, blue=255)  # the other arms have no pictures of seed 1
    assert "gallery.png" in report(group)
    gallery = group / "report" / "gallery.png"
    assert blue_columns(gallery, hue=0) == [0]  # one ground truth, from the first arm
    assert blue_columns(gallery, hue=1) == [0, 50, 100]
    pixels = np.asarray(Image.open(gallery).convert("RGB")).astype(int)
    red = (abs(pixels - RED).max(axis=2) < 3).any(axis=1)
    heights = np.diff(np.flatnonzero(np.diff(np.concatenate([[0], red.astype(int), [0]]))))[::2]
    assert len(heights) == 4  # of five images
    assert heights[1] / heights[0] == pytest.approx((50 / 40) / (30 / 40), rel=0.03)
    text = (group / "report" / "report.md").read_text()
    assert "](gallery.png)" in text
    assert (group / "report" / "report.html").read_text().count("data:image/png;base64,") == text.count("![")


def test_arms_without_a_common_image_have_no_gallery(tmp_path: Path) -> None:
    group = make_group(tmp_path / "g", arms=2, seeds=(1,))
    draw(group / "0_1", 200, 3)
    draw(group / "1_1", 200, 5)
    assert "gallery.png" not in report(group)


@pytest.mark.parametrize(("maximize", "best"), [(True, [4, 5, 6, 7, 8, 9, 10]), (False, [0, 1, 2, 3, 4, 5, 6])])
def test_the_baseline_and_the_best_of_many_arms_are_shown(tmp_path: Path, maximize: bool, best: list[int]) -> None:
    study = load_study([make_group(tmp_path / "g", arms=11, seeds=(1,))])
    baseline = find_baseline(study, "lr=2" if maximize else "lr=10")
    table = make_table(study, "val/map_50", facts=MetricFacts(True, maximize), baseline=baseline, published=None)
    shown = [arm.values[RATE] for arm in shown_arms(table)]
    assert shown == ([2, *best] if maximize else [*best, 10])


@pytest.mark.parametrize("shape", [(100, 91), (20, 88), (100, 8)])
def test_invalid_pictures_are_refused_by_name(tmp_path: Path, shape: tuple[int, int]) -> None:
    group = make_group(tmp_path / "g", arms=1, seeds=(1,))
    file = group / "0_1" / "pictures" / "000200_3.png"
    write_png(file, np.zeros((*shape, 3), dtype=np.uint8))
    with pytest.raises(UserError, match=r"000200_3\.png: does not show a ground truth"):
        run_report([group])
    file.write_bytes(b"half a picture")
    with pytest.raises(UserError, match=r"000200_3\.png: is not a readable picture"):
        run_report([group])


def test_the_report_stays_light() -> None:
    heavy = "('torch', 'cv2', 'lightning')"
    code = f"import sys, lit_cv.ablation.report.report; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

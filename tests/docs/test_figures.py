"""The figures of the results and of the systems' pages are recorded with command, seed and commit."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.figures import RECORD, ROOT, check, take, values

PAGE = "docs/results.md"


@pytest.fixture
def record() -> dict[str, Any]:
    return json.loads(RECORD.read_text(encoding="utf-8"))


def changed(record: dict[str, Any], folder: Path, old: str, new: str) -> list[str]:
    """Return what the check says after a change of the page of results."""
    for page in record["pages"]:
        (folder / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / page, folder / page)
    text = (folder / PAGE).read_text(encoding="utf-8")
    assert old in text
    (folder / PAGE).write_text(text.replace(old, new, 1), encoding="utf-8")
    return check(record, folder)


def test_the_pages_show_what_is_recorded(record: dict[str, Any]) -> None:
    assert check(record) == []


def test_every_run_has_its_origin(record: dict[str, Any]) -> None:
    for name, figure in record["figures"].items():
        assert figure["command"].startswith(("litcv fit --config experiments/", "python benchmarks/")), name
        for run in figure["runs"]:
            assert run["commit"] or "h100" in str(run["machine"]).lower() or "note" in figure, name
    pages = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/systems/s*.md")}
    assert {*record["pages"]} == {PAGE, *pages}
    quick = {f"shapes/{path.stem}" for path in ROOT.glob("experiments/quickstart/*.yaml")}
    shown = {name for name, figure in record["figures"].items() if figure["runs"]}
    assert {name for name in quick if not any(f"{one}/".startswith(f"{name}/") for one in shown)} <= UNMEASURED


UNMEASURED = {"shapes/keypoint_rcnn", "shapes/localization", "shapes/mask_rcnn_mixing", "shapes/pose"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("| 0.927 |", "| 0.972 |", ["0.972, but shapes/fcos val/map_50 is 0.927"]),
        ("| 0.927 | 0.096 |", "| | 0.096 |", ["2 figures, but the record has 3"]),
        (
            "## Instances",
            "## Instances\n\nAnother detector has 0.500.",
            ["no figure is recorded", "expects", "expects"],
        ),
        ("| 0.896 ± 0.012 (5 seeds) |", "| 0.896 ± 0.021 (5 seeds) |", ["0.021, but shapes/retinanet"]),
    ],
)
def test_a_changed_page_is_told(record: dict[str, Any], tmp_path: Path, old: str, new: str, said: list[str]) -> None:
    found = changed(record, tmp_path, old, new)
    assert all(any(part in line for line in found) for part in said), found
    assert all(line.startswith(PAGE) for line in found)


def test_a_figure_that_no_page_shows_is_told(record: dict[str, Any]) -> None:
    record["figures"]["shapes/nothing"] = record["figures"]["shapes/ssd"]
    assert check(record) == ["shapes/nothing: no page shows this figure"]


def test_a_finished_run_replaces_that_of_its_seed(record: dict[str, Any], tmp_path: Path) -> None:
    result = {
        "seed": 2,
        "git": {"commit": "0123456789abcdef", "dirty": False},
        "finished": "2026-01-02T03:04:05+00:00",
        "hardware": {"device": "a processor (2 cores)", "threads": 1},
        "data": {"fingerprint": "fedcba9876543210"},
        "steps": 360,
        "fit_seconds": 61.4,
        "metrics": {"val/map_50": 0.5, "train/loss": 1.0},
    }
    (tmp_path / "result.json").write_text(json.dumps(result))
    retinanet = record["figures"]["shapes/retinanet"]
    take(retinanet, tmp_path)
    assert [run["seed"] for run in retinanet["runs"]] == [1, 2, 3, 4, 5]
    made = retinanet["runs"][1]
    assert made["commit"] == "0123456"
    assert (made["date"], made["machine"], made["metrics"]) == (
        "2026-01-02",
        "a processor (2 cores), 1 threads",
        {"val/map_50": 0.5},
    )
    assert values(record, "shapes/retinanet val/map_50 seed=2") == [0.5]
    assert {line.partition(":")[0] for line in check(record)} == {PAGE, "docs/systems/s14_speed_accuracy.md"}

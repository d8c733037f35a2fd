"""The section on what got better: differences over seeds, and the sentences that may be made of them."""

import json
from pathlib import Path

from lit_cv.ablation.report.options import Options
from lit_cv.ablation.report.report import examine, make_report
from lit_cv.ablation.results.study import load_study

SEEDS = (1, 2, 3)


def analyze(group: Path, change: dict[int, float], without: tuple[int, ...] = ()) -> None:
    """Write an analysis into each run: missed objects that the second arm changes, and an AP that varies by chance."""
    for arm in (0, 1):
        for seed in SEEDS:
            run = group / f"{arm:04x}{seed:06x}"
            identity = {"weights": f"{arm}{seed}", "data": "d", "step": 7}
            (run / "predictions/val").mkdir(parents=True)
            (run / "predictions/val/meta.json").write_text(json.dumps(identity))
            missed = {"value": 100.0 + seed + arm * change[seed], "words": "missed small objects", "form": "count"}
            ap = {"value": 0.3 + 0.01 * arm * (-1) ** seed, "words": "AP of large objects", "form": "percent"}
            numbers = {"missed_small": missed | {"better": False}, "map_large": ap | {"better": True}}
            record = identity | ({"weights": "older"} if arm and seed in without else {})
            content = {"version": 1, "split": "val", "numbers": numbers, **record}
            (run / "analysis").mkdir()
            (run / "analysis/analysis.json").write_text(json.dumps(content))
            (run / "analysis/index.html").write_text("")


def report(group: Path, folder: Path) -> tuple[str, str]:
    study = load_study([group])
    make_report(study, examine(study, None), Options(output=folder))
    return (folder / "report.md").read_text(), (folder / "report.html").read_text()


def test_a_claim_is_made_where_the_interval_excludes_0_and_nowhere_else(make_group, tmp_path):
    group = make_group({"a.b": [1, 2]})
    analyze(group, {1: -40.0, 2: -41.0, 3: -42.0})
    text, page = report(group, tmp_path / "report")
    assert (
        "b=2 removes 40 % of the missed small objects (102 with the baseline; -41.0 [-43.5, -38.5] over 3 seeds)."
        in text
    )
    assert "| AP of large objects | 30.0 |" in text
    assert "raises AP of large" not in text
    assert "lowers AP of large" not in text
    assert "What got better" in page
    assert "anchors/0001000001/analysis/index.html" in page


def test_without_a_clear_change_nothing_is_claimed_and_stale_analyses_are_left_out(make_group, tmp_path):
    group = make_group({"a.b": [1, 2]})
    analyze(group, {1: -40.0, 2: 30.0, 3: 5.0}, without=(3,))
    text, _ = report(group, tmp_path / "report")
    assert "b=2: no claim; no interval of these numbers excludes 0." in text
    assert "1 of 6 runs have no analysis of their predictions and are left out" in text


def test_a_report_without_analyses_has_no_such_section(make_group, tmp_path):
    text, page = report(make_group({"a.b": [1, 2]}), tmp_path / "report")
    assert "What got better" not in text + page

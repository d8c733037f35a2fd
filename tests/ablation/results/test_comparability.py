"""Runs that started elsewhere, were continued with other code, or were stopped early."""

from pathlib import Path

from lit_cv.ablation.results.comparability import check
from lit_cv.ablation.results.study import load_study
from tests.helpers.fake_project import write_run


def findings(group: Path, **changes: object) -> dict[str, bool]:
    """Return the findings about two runs, the second with these changes: sentence -> whether it refuses."""
    for name, seed, extra in (("a", 1, {}), ("b", 2, changes)):
        write_run(group / name, seed=seed, command=["fit", f"--seed_everything={seed}"], **extra)
    return {finding.text: finding.refuses for finding in check(load_study([group]))}


def test_equal_runs_have_no_findings(tmp_path: Path) -> None:
    assert findings(tmp_path / "study") == {}


def test_start_from_a_checkpoint_is_a_difference(tmp_path: Path) -> None:
    start = {"checkpoint": "runs/x/last.ckpt", "step": 5}
    (text,) = [text for text, refuses in findings(tmp_path / "study", started_from=start).items() if refuses]
    assert "start is" in text
    assert "runs/x/last.ckpt" in text


def test_continuation_on_another_commit_is_told(tmp_path: Path) -> None:
    git = {"commit": "1a2b3c4d5e6f", "dirty": False, "earlier_commits": ["0" * 12]}
    assert findings(tmp_path / "study", git=git) == {
        "1 runs were continued on another commit (study/b: 0000000 to 1a2b3c4).": False
    }


def test_run_stopped_early_is_told_with_its_reason_and_not_refused(tmp_path: Path) -> None:
    early = {"stopped_early": True, "stopped_by": "EarlyStopping", "steps": 90, "epochs": 2}
    assert findings(tmp_path / "study", **early) == {
        "1 runs were stopped early by EarlyStopping, before their budget (study/b).": False
    }

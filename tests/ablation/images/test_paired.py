"""Intervals over images in a report, from resamples of runs that a test writes."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lit_cv.ablation.images import kept
from lit_cv.ablation.images.paired import with_images
from lit_cv.ablation.results.cells import comma_separated, markdown
from lit_cv.ablation.results.metric_facts import MetricFacts
from lit_cv.ablation.results.study import Arm, Run
from lit_cv.ablation.results.tables import Row, Table
from lit_cv.ablation.statistics.difference import Difference
from lit_cv.metrics.resampling.resample import multiplicities
from lit_cv.runs.resamples import RESAMPLES, Resamples, file_of, read_resamples, write_resamples

IMAGES = 23
PERCENT = MetricFacts(percent=True, higher_is_better=True)


class Study:
    """Runs of arms × seeds with made-up scores of each image; the metric is their mean."""

    def __init__(self, folder: Path, spreads: tuple[float, float], arms: int = 2, seeds: int = 3) -> None:
        rng = np.random.default_rng(0)
        self.scores: dict[Path, np.ndarray] = {}
        self.asked: list[Path] = []
        image = rng.normal(0, spreads[1], (arms, IMAGES))
        rows = []
        for number in range(arms):
            arm = Arm({"lr": number}, label=f"lr={number}")
            for seed in range(seeds):
                run = folder / f"runs/study/{number}{seed}"
                (run / "predictions/val").mkdir(parents=True)
                (run / "predictions/val/meta.json").write_text(json.dumps({"arm": number, "seed": seed}))
                np.save(run / "predictions/val/scores.npy", np.zeros(10))
                self.scores[run] = 0.5 + 0.01 * number + image[number] + rng.normal(0, spreads[0])
                arm.runs[seed] = Run(run, {}, seed)
            values = {seed: float(self.scores[run.folder].mean()) for seed, run in arm.runs.items()}
            rows.append(Row(arm, values, None, None, None, None, None, None))
        for number, row in enumerate(rows[1:], 1):
            gaps = [row.scores[seed] - rows[0].scores[seed] for seed in range(seeds)]
            mean, error = np.mean(gaps), np.std(gaps, ddof=1) if seeds > 1 else np.nan
            rows[number] = dataclasses.replace(row, difference=Difference(mean, mean - error, mean + error, seeds))
        self.table = Table("val/map", PERCENT, {"lr": "lr"}, rows[0].arm, rows, seeds)

    def resample(self, folders: Sequence[Path], metric: str) -> dict[Path, str]:
        assert metric == "val/map"
        self.asked += folders
        weights = multiplicities(IMAGES, RESAMPLES, seed=0)
        for folder in folders:
            scores = self.scores[folder.parents[1]]
            found = Resamples(scores.mean(), weights @ scores / IMAGES, 0, IMAGES, "abc")
            write_resamples(folder, "map", found)
        return {}


def test_both_columns_a_note_on_few_images_and_the_cache(tmp_path: Path) -> None:
    study = Study(tmp_path, (0.01, 0.15))
    table, notes = with_images(study.table, None, study.resample)
    runs = list(study.scores)
    expected = np.mean([study.scores[runs[3 + seed]] - study.scores[runs[seed]] for seed in range(3)], axis=0)
    error = expected.std(ddof=1) / np.sqrt(IMAGES)  # of a mean over images
    row = table.rows[1]
    assert row.images is not None
    assert row.combined is not None
    assert row.images.mean == pytest.approx(expected.mean())
    assert (row.images.high - row.images.low) / 2 == pytest.approx(1.96 * error, rel=0.06)
    assert row.combined.high - row.combined.low > row.images.high - row.images.low
    assert table.rows[0].images is None
    assert "23 validation images: the choice of images moves the difference more than the seed does" in notes[-1]
    assert f"± {100 * error:.1f} against ± " in notes[-1]
    text = markdown(table)
    assert "over images [95 %]" in text
    assert f"[{100 * row.images.low:+.1f}, {100 * row.images.high:+.1f}]" in text
    csv = [line.split(",") for line in comma_separated(table, [0, 1, 2]).splitlines()]
    assert csv[2][csv[0].index("seeds_and_images_high")] == repr(row.combined.high)
    assert len(study.asked) == 6
    assert with_images(study.table, None, study.resample) == (table, notes)
    assert len(study.asked) == 6  # nothing again
    changed = runs[4] / "predictions/val"
    np.save(changed / "scores.npy", np.ones(10))  # of the same size
    assert read_resamples(changed, "map") is None
    with_images(study.table, None, study.resample)
    assert study.asked[6:] == [changed]
    file_of(changed, "map").write_bytes(b"half a file")
    assert with_images(study.table, None, study.resample) == (table, notes)


def test_many_images_and_one_seed(tmp_path: Path) -> None:
    study = Study(tmp_path / "steady", (0.05, 0.001))
    _, notes = with_images(study.table, True, study.resample)
    assert not [note for note in notes if "moves the difference more" in note]
    study = Study(tmp_path / "one", (0.01, 0.15), seeds=1)
    table, _ = with_images(study.table, True, study.resample)
    assert table.rows[1].images is not None
    assert table.rows[1].combined is None
    study = Study(tmp_path / "arms", (0.01, 0.15), arms=5)
    table, notes = with_images(study.table, True, study.resample)
    assert "at 95 % for all 4 arms together" in notes[0]
    assert "in 4 of 4 arms, for example lr=" in notes[-1]


def test_a_table_without_these_columns_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reason is one sentence, and the rest of the table is as it was."""
    study = Study(tmp_path, (0.01, 0.15))
    runs, table = list(study.scores), study.table

    def reason(asked: bool | None = True, resample: kept.Resample = study.resample, table: Table = table) -> str:
        found, (note,) = with_images(table, asked, resample)
        assert found is table
        prefix = "Over images: no intervals, because "
        assert note.startswith(prefix)
        return note.removeprefix(prefix)

    monkeypatch.setattr(kept, "MOST_RUNS", 5)
    assert reason(None) == (
        f"6 runs with 0 MiB of predictions were not yet resampled; `litcv report {tmp_path}/runs/study --images` "
        "resamples them, once for each run."
    )
    assert "no metric of the validation" in reason(table=dataclasses.replace(table, metric="train/loss"))
    refused = {runs[1] / "predictions/val": "val/loss does not follow from predictions."}
    assert reason(resample=lambda folders, metric: refused) == f"{runs[1]}: val/loss does not follow from predictions."
    assert reason(table=dataclasses.replace(table, value="best")).startswith("no run has predictions/val_best")

    study.resample([run / "predictions/val" for run in runs], "val/map")
    good = read_resamples(runs[5] / "predictions/val", "map")
    assert good is not None
    write_resamples(runs[5] / "predictions/val", "map", dataclasses.replace(good, names="other", images=40))
    assert reason() == ("study/12 was evaluated on other images (40) than study/00 (23), so they cannot be paired.")
    write_resamples(runs[5] / "predictions/val", "map", dataclasses.replace(good, whole=0.25))
    assert reason().startswith("the predictions of study/12 are of another evaluation: they give 25.0 in the place of ")
    (runs[5] / "predictions/val/meta.json").unlink()
    assert reason() == "study/12 has no predictions/val."


def test_resamples_without_a_class_or_without_anything(tmp_path: Path) -> None:
    study = Study(tmp_path, (0.01, 0.15))

    def resample(folders: Sequence[Path], metric: str) -> dict[Path, str]:
        study.resample(folders, metric)
        for folder in folders:
            found = read_resamples(folder, "map")
            assert found is not None
            values = np.where(np.arange(RESAMPLES) < 7, np.nan, found.values)
            write_resamples(folder, "map", dataclasses.replace(found, values=values, incomplete=412))
        return {}

    table, notes = with_images(study.table, True, resample)
    assert table.rows[1].images is not None
    assert np.isfinite(table.rows[1].images.low)
    assert any(note.startswith("412 of the 2,000 resamples lack every object of some class") for note in notes)
    assert any(note.startswith("7 of the 2,000 resamples have nothing to evaluate") for note in notes)

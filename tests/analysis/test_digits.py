"""The numbers of an analysis are those that the evaluation of the same predictions has logged, to the last digit."""

from pathlib import Path

import numpy as np
import pytest

from lit_cv.analysis.contract import Table
from lit_cv.analysis.kinds import analysis_of
from lit_cv.training.scoring.analyzing import EvaluatedRun
from tests.predictions.guesses import evaluated


def column(table: Table, name: str) -> list[float]:
    place = [column.name for column in table.columns].index(name)
    return [float(row[place]) for row in table.rows]


@pytest.mark.parametrize("kind", ["segmentation", "localization", "pose", "captioning"])
def test_the_numbers_are_the_logged_ones(kind: str, tmp_path: Path) -> None:
    logged = {name: float(value) for name, value in evaluated(kind, tmp_path).trainer.callback_metrics.items()}
    run = EvaluatedRun(tmp_path, "val")
    analysis = analysis_of(run.predictions.tasks, tmp_path)(run)
    values = {f"val/{name}": number.value for name, number in analysis.numbers.items()}
    same = values.keys() & logged.keys()
    assert len(same) >= {"segmentation": 7, "localization": 5, "pose": 16, "captioning": 3}[kind]
    assert {name: values[name] for name in same} == pytest.approx({name: logged[name] for name in same}, abs=0, rel=0,
                                                                   nan_ok=True)  # fmt: skip
    tables = {table.name: table for table in analysis.tables}
    if kind == "localization":
        shares = column(tables["cases"], "% of the images")
        assert shares[0] == logged["val/loc_accuracy"]
        assert sum(shares) == pytest.approx(1, abs=1e-15)
    if kind == "captioning":
        matrix = [column(tables["ap"], name.name) for name in tables["ap"].columns if name.name.startswith("METEOR")]
        assert np.mean(np.transpose(matrix).ravel()) == logged["val/exact_match_densecap_map"]
        assert np.mean(column(tables["ap"], "box alone")) == logged["val/box_map"]
    assert all(shown.pixels.std() > 0 for shown in analysis.images)

from pathlib import Path

import pytest

from lit_cv.errors import UserError
from lit_cv.runs.files import read_curve, read_json, write_json
from lit_cv.runs.records import PLAN, RESULT, read_record
from tests.helpers.fake_project import change, write_run

DAMAGES = {
    "steps": ("x", "`steps` is 'x', not a whole number, at least 0"),
    "epochs": (True, "`epochs` is True, not a whole number"),
    "command": ("fit", "`command` is 'fit', not a list of texts"),
    "metrics": ({"val/map": "high"}, "`metrics` is {'val/map': 'high'}, not a mapping of names to numbers"),
    "metric_facts": ({"val/map": {}}, "`metric_facts` is {'val/map': {}}, not a mapping of metrics to `percent`"),
    "data": ({}, "`data.fingerprint` is missing"),
    "versions": (None, "`versions` is None, not a mapping"),
    "id": ("../x", "`id` is '../x', not the name of a folder"),
    "started": ("yesterday", "`started` is 'yesterday', not a time"),
    "seed": ([1], r"`seed` is \[1\], not a whole number"),
}


@pytest.mark.parametrize("field", DAMAGES)
def test_a_damaged_field_of_a_result_is_named(field: str, tmp_path: Path) -> None:
    write_run(tmp_path / "group" / "run")
    file = tmp_path / "group" / "run" / "result.json"
    assert read_record(file, RESULT) == read_json(file)
    value, words = DAMAGES[field]
    change(file.parent, **{field: value})
    with pytest.raises(UserError, match=f"result.json: {words}.*; delete its run folder and run it again"):
        read_record(file, RESULT)


def test_fields_of_later_versions_may_be_missing_or_null(tmp_path: Path) -> None:
    write_run(tmp_path, best=None, seconds_per_image=None)
    result = read_json(tmp_path / "result.json")
    write_json(tmp_path / "result.json", {key: value for key, value in result.items() if key != "metric_facts"})
    assert read_record(tmp_path / "result.json", RESULT)["best"] is None


def test_a_damaged_arm_of_a_plan_is_named(tmp_path: Path) -> None:
    plan = {"name": "a", "description": "", "file": "a.yaml", "swept": ["model.lr"], "metric": None}
    runs = [{"seed": 1, "id": "0123456789"}]
    write_json(tmp_path / "sweep.json", {**plan, "arms": [{"values": {"model.lr": 1}, "runs": runs}]})
    assert read_record(tmp_path / "sweep.json", PLAN)["arms"][0]["runs"] == runs
    write_json(tmp_path / "sweep.json", {**plan, "arms": [{"values": {"model.lr": 1}, "runs": [None]}]})
    with pytest.raises(UserError, match=r"`arms` is .*, not a list of arms with `values` and `runs`; delete it"):
        read_record(tmp_path / "sweep.json", PLAN)


@pytest.mark.parametrize(
    ("rows", "words"),
    [(b"5,0,val/map,high\n", "it has the row 5,0,val/map,high"), (b"\xff\n", "can't decode byte 0xff")],
)
def test_a_damaged_table_of_metrics_is_named(rows: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(b"step,epoch,name,value\n4,0,val/map,0.5\n")
    assert read_curve(tmp_path, "val/map") == {4: 0.5}
    (tmp_path / "metrics.csv").write_bytes(b"step,epoch,name,value\n" + rows)
    with pytest.raises(UserError, match=f"metrics.csv: is no table of step,epoch,name,value .*{words}"):
        read_curve(tmp_path, "val/map")

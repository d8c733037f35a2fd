"""A record gives the report that the folders of the runs give, and nothing of this machine."""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.lecture.records import load_record, pack, same_sweep, unpack, write_record
from lit_cv.cli import main
from lit_cv.errors import UserError


def test_the_report_from_the_record_is_that_from_the_runs(project, tmp_path: Path) -> None:
    project.write_runs()
    write_record(Path("record.json"), pack(project.group, ["val/map_50"]))
    record = load_record(Path("record.json"))
    unpacked = unpack(record, tmp_path / "again")
    for group in (project.group, unpacked):
        assert main(["report", str(group), "--no-images", "--baseline", "lr=0.2", "--output", str(group / "out")]) == 0
    tables = [(group / "out" / "table.csv").read_bytes() for group in (project.group, unpacked)]
    assert tables[0] == tables[1]
    assert b"0.61" in tables[0]
    facts = [(group / "out" / "report.md").read_text().splitlines()[2] for group in (project.group, unpacked)]
    assert facts[0] == facts[1]
    assert "controlled: yes" in facts[0]
    again = tmp_path / "twice.json"
    write_record(again, pack(unpacked, ["val/map_50"]))
    assert again.read_bytes() == Path("record.json").read_bytes()


def test_a_record_is_small_and_says_nothing_of_the_machine_or_of_the_moment(project) -> None:
    project.write_runs(
        started="2026-01-01T00:00:00Z", pace={"step": 1.0}, metrics={"val/map_50": None, "val/map": 1e-8}
    )
    losses = [f"{step},0,train/loss,{1 / (step + 1)}" for step in range(2000)]
    for file in project.group.glob("*/metrics.csv"):
        file.write_text("\n".join(["step,epoch,name,value", *losses[:9], *losses]) + "\n")  # killed and continued
    write_record(Path("record.json"), pack(project.group, ["val/map_50"]))
    text = Path("record.json").read_text()
    assert len(text) < 20_000
    assert str(project.root) not in text
    assert not [word for word in ("2026", "pace") if word in text]
    metrics = (unpack(json.loads(text), Path("again")) / json.loads(text)["plan"]["arms"][0]["runs"][0]["id"]).iterdir()
    curve = next(file for file in metrics if file.name == "metrics.csv").read_text().splitlines()
    assert (len(curve), curve[1], curve[-1]) == (41, "0,0,train/loss,1", "1999,0,train/loss,0.0005")


def test_records_that_are_damaged_unfinished_or_old_are_told(project) -> None:
    project.write_runs()
    record = pack(project.group, ["val/map_50"])
    assert same_sweep(record, project.sweep)
    project.write_sweep(name="another name")
    assert same_sweep(record, project.sweep)
    project.write_sweep(command=["${interpreter}", "fit", "--run.group=lecture_rates", "${args}"])
    assert not same_sweep(record, project.sweep)
    Path("half.json").write_text(json.dumps(record)[:100])
    with pytest.raises(UserError, match=r"half\.json: cannot be read"):
        load_record(Path("half.json"))
    Path("half.json").write_text(json.dumps({key: value for key, value in record.items() if key != "plan"}))
    with pytest.raises(UserError, match="`plan` is missing"):
        load_record(Path("half.json"))
    shutil.rmtree(next(project.group.glob("*/result.json")).parent)
    with pytest.raises(UserError, match="cannot be read"):
        pack(project.group, ["val/map_50"])

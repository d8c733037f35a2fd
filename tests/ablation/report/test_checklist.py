"""The reproducibility checklist says what the records say, and asks for the rest."""

import json
from pathlib import Path

import pytest

from lit_cv.ablation.report.licenses import stated_licenses
from lit_cv.ablation.report.options import Options
from lit_cv.commands.report import run_report
from lit_cv.runs.files import write_json
from tests.helpers.fake_project import change

CPU, GPU = {"device": "a CPU", "devices": 1, "threads": 2}, {"device": "NVIDIA H100", "devices": 4, "threads": 2}


def test_records_fill_the_items_and_the_rest_are_questions(
    make_group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where there is no data
    group = make_group({"model.network.a": [1, 2]}, seeds=(1, 2))
    runs = sorted(group.glob("0*"))
    change(runs[0], git={"commit": "1a2b3c4d5e6f", "dirty": True}, fit_seconds=1800.0)
    change(runs[1], hardware=GPU, fit_seconds=1800.0)
    change(runs[2], metrics={"val/map_50": None, "val/map": 0.1, "train/loss": 0.2})
    (runs[3] / "result.json").unlink()
    write_json(runs[3] / "failed.json", {"reason": "it failed", "code": 1, "error": "no memory", "time": "now"})
    assert run_report([group], Options(checklist=True), force=True) == 0
    text = (group / "report/checklist.md").read_text()
    for part in (
        "https://neurips.cc/public/guides/PaperChecklist",
        "Machine Learning Reproducibility Checklist, version 2.0",
        "`model.network.a`: 1 | 2",
        "3 of 4 planned runs finished; 1 of them diverged (val/map_50 is not finite); 1 failed; 0 are unfinished",
        f"anchors/{runs[3].name}: it failed: no memory",
        "2.00 GPU-hours on NVIDIA H100",  # half an hour on four
        "0.52 CPU-hours (hours of a process) on a CPU",  # half an hour and a minute
        "- Not recorded.\n- **Question to the author:** How much energy",
        "Fingerprint 9f8e7d6c: images 10.",
        "data: not looked for, the data is not here.\n- **Question to the author:** Under which license",
        "Commit 1a2b3c4d5e6f (3 runs).",
        f"1 runs have uncommitted changes (anchors/{runs[0].name}).",
        "python 3.11.7, torch 2.15.0",
        "200 steps, 4 epochs, unknown images a step.",
    ):
        assert part in text, part
    page = (group / "report/report.html").read_text()
    assert "Reproducibility checklist" in page
    assert page.count("Question to the author:") == text.count("Question to the author:") >= 6
    assert "--checklist" in (group / "report/commands.txt").read_text()


def test_without_the_option_nothing_is_written(make_group) -> None:
    group = make_group({"model.network.a": [1, 2]}, seeds=(1,))
    assert run_report([group]) == 0
    assert not (group / "report/checklist.md").exists()
    assert "Reproducibility checklist" not in (group / "report/report.html").read_text()


@pytest.mark.parametrize(
    ("file", "content", "stated"),
    [
        ("LICENSE", "\n  CC BY 4.0\n\nmore", "CC BY 4.0"),
        ("licence.txt", "ODbL\n", "ODbL"),
        ("README.dataset.txt", "# bees\nLicense: CC BY 4.0\n", "CC BY 4.0"),
        ("data.yaml", "names: [a]\nroboflow:\n  license: MIT\n", "MIT"),
        ("annotations/a.json", json.dumps({"info": {}, "licenses": [{"name": "A", "id": 1}, {"url": "u"}]}), "A, u"),
        ("train/_annotations.coco.json", json.dumps({"licenses": [{"name": "A"}, {"name": "A"}]}), "A"),
        ("annotations/a.json", '{"licenses": [{"name": "A"', None),
        ("annotations/a.json", '{"licenses": {"name": 3}}', None),
        ("annotations/a.json", '{"licenses": [1, null]}', None),
        ("annotations/a.json", '{"images": []}', None),
        ("README.md", "The licenses of the pictures differ.\n", None),
        ("notes.txt", "License: MIT\n", None),
    ],
)
def test_a_license_is_what_the_data_states(tmp_path: Path, file: str, content: str, stated: str | None) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(content)
    assert stated_licenses(tmp_path) == ([f"{stated} ({file})"] if stated else [])

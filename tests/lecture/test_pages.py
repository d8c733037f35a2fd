"""Pages and figures are what the records give; the command writes them, and a check tells what is old."""

import re
from pathlib import Path

import pytest

from benchmarks.lecture.__main__ import main
from benchmarks.lecture.claims import ROOT, load_claims
from benchmarks.lecture.pages import check, write
from benchmarks.lecture.records import pack, write_record
from lit_cv.errors import UserError
from tests.lecture.conftest import ENTRY, NAME

PAGE, INDEX = Path("docs/lecture/heads.md"), Path("docs/lecture/index.md")
RECORD, FIGURE = Path(f"benchmarks/results/lecture/{NAME}.json"), Path(f"docs/images/lecture/{NAME}.svg")


def test_the_pages_of_the_project_are_up_to_date() -> None:
    assert check(ROOT) == []


def test_a_claim_without_a_record_has_no_number(project) -> None:
    project.write_runs()
    assert [path.name for path in write(Path())] == ["heads.md", "index.md"]
    page, index = PAGE.read_text(), INDEX.read_text()
    assert page.startswith("# Heads\n\nBy hand.\n\n<!-- claim: rates -->\n## 2. Rates\n")
    assert "**Verdict: not run yet.**" in page
    assert "**1.** Heads matter. Verdict: not run yet." in page
    assert "60.2" not in page
    assert index.count("not run yet") == 2
    assert not FIGURE.exists()
    assert write(Path()) == []
    PAGE.write_text(page.replace(page[page.index("<!-- claim") : page.index("<!-- open")], ""))
    write(Path())
    assert PAGE.read_text() == page  # a new block comes before those that are not run


def test_a_record_gives_verdict_table_and_figure(project, capsys: pytest.CaptureFixture[str]) -> None:
    project.write_runs()
    write_record(RECORD, pack(project.group, ["val/map_50"]))
    assert main(["pages"], Path()) == 0
    page = PAGE.read_text()
    for part in (
        "**Verdict: confirmed.**\n\n- val/map_50 of lr=0.2 differs by +9.7 points [+8.4, +11.1], claimed better: as",
        "| 0.2 | 60.2 ± 0.5 | +9.7 [+8.4, +11.1]",
        "wall time 6 min (12 runs of 60 s, 2 at once)",
        "4 paired seeds · 200 steps · commit 1a2b3c4 · data 9f8e7d6 · controlled: yes",
        "**At the scale of the papers.** 5 seeds on COCO, 100 GPU-hours.",
    ):
        assert part in page
    assert "**confirmed**" in INDEX.read_text()
    assert main(["pages", "--check"], Path()) == 0
    by_hand = page.replace("By hand.", "Other words.")
    PAGE.write_text(by_hand)
    assert main(["pages", "--check"], Path()) == 0
    FIGURE.write_text(FIGURE.read_text().replace("<path", "<path ", 1))  # another version of matplotlib
    assert main(["pages", "--check"], Path()) == 0
    capsys.readouterr()
    PAGE.write_text(by_hand.replace("60.2", "60.3"))
    FIGURE.write_text(FIGURE.read_text().replace("60.", "61.", 1))
    assert main(["pages", "--check"], Path()) == 1
    said = "is not what its records give; run `make lecture-page`."
    assert capsys.readouterr().out.splitlines() == [f"{file}: {said}" for file in (PAGE, FIGURE)]
    assert main(["pages"], Path()) == 0
    assert PAGE.read_text() == by_hand


def test_further_metrics_have_one_table(project) -> None:
    project.write_runs()
    project.write_claims({**ENTRY, "more": ["val/map_50"]})
    write_record(RECORD, pack(project.group, ["val/map_50"]))
    write(Path())
    assert re.search(r"^\| val/map_50 +\| 50.5 ± 1.3 \| 60.2 ± 0.5 \| ", PAGE.read_text(), re.MULTILINE)


def test_records_and_blocks_of_nothing_are_refused(project, capsys: pytest.CaptureFixture[str]) -> None:
    project.write_runs()
    write_record(RECORD, pack(project.group, ["val/map_50"]))
    project.write_sweep(method="grid", command=["${interpreter}", "x", "fit", "--run.group=lecture_rates", "${args}"])
    assert main(["pages"], Path()) == 1
    assert "is of another sweeps/lecture/rates.yaml than the present one" in capsys.readouterr().err
    project.write_sweep()
    RECORD.rename(RECORD.with_name("heights.json"))
    with pytest.raises(UserError, match=r"heights.json: .* has no entry heights"):
        write(Path())
    RECORD.with_name("heights.json").unlink()
    PAGE.write_text("# Heads\n\n<!-- claim: heights -->\n<!-- end -->\n")
    with pytest.raises(UserError, match="`claim: heights` is no claim of this page"):
        write(Path())
    PAGE.write_text("# Heads\n\n<!-- claim: rates -->\n")
    with pytest.raises(UserError, match="`claim: rates` has no end"):
        write(Path())
    PAGE.unlink()
    with pytest.raises(UserError, match="there is no such page"):
        write(Path())
    project.write_claims(ENTRY)
    assert [claim.name for claim in load_claims(Path())] == [NAME]

"""Published numbers with the deviation that their source gives."""

import csv

import pytest

from lit_cv.ablation.report.options import Options
from lit_cv.ablation.results.published import load_published
from lit_cv.ablation.results.study import Arm, Study
from lit_cv.commands.report import run_report
from lit_cv.errors import UserError
from tests.helpers.fake_project import write_run

KEY = "model.network.head"


@pytest.fixture
def study():
    """Two arms of a factor; only their values are read."""
    arms = [Arm({KEY: "a"}), Arm({KEY: "b"})]
    return Study("t", [], None, None, [KEY], arms, [1], [])


@pytest.mark.parametrize("text", [f"{KEY},published,published_std\na,66.9,\nb,67.2,0.2\n",
                                  f"{KEY},published,±\na,66.9,\nb,67.2,0.2\n",
                                  f"{KEY},published\na,66.9\nb,67.2 ± 0.2\n"])  # fmt: skip
def test_a_deviation_may_be_given_for_some_arms(study, tmp_path, text):
    file = tmp_path / "p.csv"
    file.write_text(f"# A paper\n{text}")
    published = load_published(file, study)
    assert [published.of(arm) for arm in study.arms] == [66.9, 67.2]
    assert [published.deviation_of(arm) for arm in study.arms] == [None, 0.2]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"{KEY},published,published_std\na,66.9,-0.2\n", "-0.2 is no deviation, which is at least 0"),
        (f"{KEY},published,published_std\na,66.9,nan\n", "nan is no deviation"),
        (f"{KEY},published,published_std\na,inf,\n", "inf is no finite number"),
        (f"{KEY},published,published_std\na,66.9,x\n", "could not convert string to float: 'x'"),
        (f"{KEY},published,published_std\na,66.9\n", "a row has fewer values than the header"),
        (f"{KEY},published,published_std,±\na,66.9,0.2,0.2\n", "its columns must be"),
        (f"{KEY},published,std\na,66.9,0.2\n", "and published_std or ± if the source gives deviations; fix its header"),
    ],
)
def test_a_wrong_deviation_is_one_sentence(study, tmp_path, text, sentence):
    file = tmp_path / "p.csv"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        load_published(file, study)
    assert str(error.value).startswith(f"{file}: ")
    assert sentence in str(error.value)


def test_table_page_latex_and_csv_show_the_deviation(tmp_path, capsys):
    for number, head in enumerate(("a", "b")):
        config = {"model": {"init_args": {"network": {"init_args": {"head": head}}}}}
        command = ["fit", "--config", "x.yaml", f"--{KEY}={head}"]
        write_run(tmp_path / "runs" / str(number), seed=1, config=config, command=command)
    file = tmp_path / "p.csv"
    file.write_text(f"# A paper\n{KEY},published,published_std\na,66.9,\nb,67.2,0.2\n")
    assert run_report([tmp_path / "runs"], Options(published=file)) == 0
    folder = tmp_path / "runs/report"
    for text in (capsys.readouterr().out, (folder / "report.md").read_text(), (folder / "report.html").read_text()):
        assert "67.2 ± 0.2" in text
        assert "66.9 ±" not in text
    assert r"67.2 $\pm$ 0.2" in (folder / "table.tex").read_text()
    rows = list(csv.DictReader((folder / "table.csv").open()))
    assert [(row["published"], row["published_std"]) for row in rows] == [("66.9", ""), ("67.2", "0.2")]

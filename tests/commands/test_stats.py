import re
from pathlib import Path

import pytest

from lit_cv.cli import main
from lit_cv.commands.stats import default_output
from lit_cv.tracking.log import logs_of, records
from tests.helpers import chromium

ROOT = Path(__file__).parents[2]
KINDS = {
    "ssd": ("Objects of each class", "Anchors and boxes"),
    "fcos": ("Objects of each class", "Centers of the objects"),
    "fcn": ("Pixels of each class", "Places of the classes"),
    "pose": ("Labeled joints", "Size of the heads"),
    "keypoint_rcnn": ("Labeled joints", "Anchors and boxes"),
    "densecap": ("Length of the phrases", "The most frequent words"),
    "localization": ("Objects of each class", "Shape of the objects"),
}


@pytest.fixture(autouse=True)
def in_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LITCV_CACHE", str(tmp_path / "cache"))


def arguments(name: str, *more: str) -> list[str]:
    experiment = ROOT / "experiments/quickstart" / f"{name}.yaml"
    return ["stats", str(experiment), "--data.root=data", "--data.shapes={train: 6, val: 3, size: 64}", *more]


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_targets_has_its_page(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(name, "--output", "new/page.html")) == 0
    text = Path("new/page.html").read_text()
    titles = re.findall("<h2>(.*?)</h2>", text)
    assert {"Size of the pictures", *KINDS[name]} <= {*titles}
    assert ("Anchors and boxes" in titles) == (name in ("ssd", "keypoint_rcnn", "densecap"))
    assert "http" not in text  # the page loads nothing from the network
    assert "<script" not in text
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["train", "val"]
    assert lines[1].split() == ["pictures", *(("3", "1") if name == "keypoint_rcnn" else ("6", "3"))]
    assert lines[-1] == "written: new/page.html"
    assert max(map(len, lines)) <= 80


def test_a_page_replaces_only_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert main(arguments("localization")) == 0
    (page,) = Path("stats/quickstart").iterdir()
    assert f"written: {page}" in capsys.readouterr().out
    outputs = {default_output(Path(file), more) for file in ("a/x.yaml", "b/a/x.yaml") for more in ([], ["--a.b=1"])}
    assert len(outputs) == 4
    Path("notes.html").write_text("<p>mine</p>")
    assert main(arguments("localization", "--output", "notes.html")) == 1
    assert "notes.html exists and is no page of `litcv stats`; choose another --output." in capsys.readouterr().err
    assert Path("notes.html").read_text() == "<p>mine</p>"


def test_the_numbers_and_the_page_are_logged_offline(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments("localization", "--output", "page.html", "--wandb", "offline")) == 0
    assert "logged to W&B: " in capsys.readouterr().out
    (log,) = logs_of(Path())
    found = records(log)
    (run,) = (record["run"] for record in found if record["type"] == "run")
    assert run["run_id"] == "statistics-page"
    assert run["job_type"] == "statistics"
    summary = [record["summary"]["update"] for record in found if record["type"] == "summary"]
    assert {key: value for part in summary for key, value in part.items()}["train/pictures"] == 6
    assert list(log.parent.rglob("*.html"))


@pytest.mark.parametrize(
    ("args", "code", "sentence"),
    [
        (["stats"], 2, "CONFIG"),
        (["stats", "none.yaml"], 1, "there is no such file"),
        (["stats", "{experiment}", "--wandb", "sometimes"], 2, "there is no sometimes"),
        (["stats", "{experiment}", "--data.rot=x"], 2, "rot"),
        (["stats", "{experiment}", "--data.source=local", "--data.root=none"], 1, "holds no VOCdevkit folder"),
        (["stats", "{experiment}", "--output", "file/x.html"], 1, "cannot write the page"),
    ],
)
def test_user_errors_are_one_sentence(
    args: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").write_text("")
    experiment = str(ROOT / "experiments/quickstart/localization.yaml")
    args = [arg.replace("{experiment}", experiment) for arg in args]
    if "--output" in args:
        args += arguments("localization")[2:]
    assert main(args) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert sentence in lines[-1]


@pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed")
def test_the_page_fits_a_screen_and_a_phone(tmp_path: Path) -> None:
    assert main(arguments("keypoint_rcnn", "--output", "page.html")) == 0
    assert main(arguments("ssd", "--output", "classes.html")) == 0
    with chromium.browser(tmp_path / "profile") as page:
        for file in ("page.html", "classes.html"):
            for width in (1280, 400):
                page.resize(width)
                page.open(tmp_path / file)
                assert page.run("document.documentElement.scrollWidth") <= width
                beyond = "e => e.getBoundingClientRect().right > innerWidth && !e.closest('.scroll')"
                assert page.run(f"[...document.querySelectorAll('.charts *')].filter({beyond}).length") == 0
                assert page.run("Math.min(...[...document.querySelectorAll('svg')].map(s => s.clientHeight))") > 80
        assert [url for url in page.requests() if not url.startswith("file:")] == []
        assert page.complaints() == []

"""Tests of the report's page in a browser, for a search of 200 arms with one run each."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lit_cv.ablation.plots.gallery import CAPTION, GAP
from lit_cv.commands.report import run_report
from lit_cv.runs.files import write_json
from tests.helpers import chromium
from tests.helpers.fake_project import write_run

RATE, DECAY, BACKBONE = "model.optimizer.lr", "model.optimizer.weight_decay", "model.network.backbone"
BACKBONES = ("resnet50", "a_b <i>&% ±", "vgg16")
RUNS = 200
needs_latex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
needs_chromium = pytest.mark.skipif(chromium.PROGRAM is None, reason="chromium is not installed")


def write_search(group, runs=RUNS, unfinished=()):
    """Write a random search with one run per arm; scores vary with the number of the run."""
    draw = np.random.default_rng(0)
    group.mkdir(parents=True)
    picture = group / "picture.png"
    Image.fromarray(draw.integers(0, 255, (CAPTION + 32, 2 * 32 + GAP, 3), np.uint8)).save(picture)
    arms = []
    for number in range(runs):
        rate, decay = float(10 ** draw.uniform(-5, -1)), None if number % 10 == 0 else number / 1000
        values = {RATE: rate, DECAY: decay, BACKBONE: BACKBONES[number % 3]}
        run = f"{number:010x}"
        arms.append({"values": values, "runs": [{"seed": None, "id": run}]})
        if number in unfinished:
            continue
        config = {
            "model": {"optimizer": {"lr": rate, "weight_decay": decay}, "network": {"backbone": values[BACKBONE]}}
        }
        changes = {"seconds_per_image": None} if number % 7 == 0 else {"seconds_per_image": 0.01 + number % 5}
        changes["params"] = 1_000_000 + number  # networks of equal structure would share one time
        score = (number * 37 % runs) / runs
        write_run(group / run, seed=1, config=config, score=score, wandb_url=f"https://wandb.ai/{run}", **changes)
        (group / run / "pictures").mkdir()
        shutil.copy(picture, group / run / "pictures" / "200_1.png")
    plan = {"name": "search", "description": "", "file": "search.yaml", "swept": [RATE, DECAY, BACKBONE], "arms": arms}
    write_json(group / "sweep.json", {**plan, "metric": {"name": "val/map_50", "goal": "maximize"}})
    return group


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    group = write_search(tmp_path_factory.mktemp("runs") / "search")
    assert run_report([group]) == 0
    return group / "report"


@pytest.fixture
def page(report, tmp_path):
    with chromium.browser(tmp_path / "profile") as page:
        page.resize(1280)
        page.open(report / "report.html")
        yield page


def column(page, table, number):
    """Return the visible cells of a column from top to bottom."""
    rows = f"[...document.querySelectorAll('#{table} tbody tr')].filter(row => row.offsetHeight > 0)"
    return page.run(f"{rows}.map(row => row.cells[{number}].innerText)")


def click(page, table, number):
    page.run(f"document.querySelectorAll('#{table} th button')[{number}].click()")
    return page.run(f"document.querySelectorAll('#{table} th')[{number}].ariaSort")


@needs_chromium
@pytest.mark.slow
def test_a_reader_sorts_and_filters_and_nothing_leaves_the_machine(report, page):
    # pictures
    assert page.run("[...document.images].length") == 4
    assert page.run("[...document.images].every(image => image.naturalWidth > 0)")

    # numbers sort as numbers, and missing values come last in both directions
    rates = [float(text) for text in column(page, "arms", 0)]
    assert len(rates) == RUNS
    assert rates != sorted(rates)
    assert click(page, "arms", 0) == "ascending"
    assert [float(text) for text in column(page, "arms", 0)] == sorted(rates)
    assert click(page, "arms", 0) == "descending"
    assert [float(text) for text in column(page, "arms", 0)] == sorted(rates, reverse=True)
    for direction, sign in (("ascending", 1), ("descending", -1)):
        assert click(page, "arms", 8) == direction
        times = column(page, "arms", 8)
        known = [sign * float(text) for text in times if text != "–"]
        assert known == sorted(known)
        assert times[len(known) :] == ["–"] * 29
    for direction in ("ascending", "descending"):
        assert click(page, "arms", 1) == direction
        assert column(page, "arms", 1)[-20:] == ["null"] * 20
    assert page.run("document.querySelectorAll('#arms [aria-sort]').length") == 1
    assert click(page, "runs", 2) == "ascending"
    assert column(page, "runs", 2) == sorted(BACKBONES[number % 3] for number in range(RUNS))

    # with the keyboard only
    page.run("document.querySelectorAll('#runs th button')[6].focus()")
    page.press("Enter", 13)
    assert page.run("document.querySelectorAll('#runs th')[6].ariaSort") == "ascending"

    # a text and levels hide rows of both tables, and the address stores the state
    page.run("{const box = document.forms[0].elements.text; box.focus()}")
    page.call("Input.insertText", text="VGG16")
    assert set(column(page, "arms", 2)) == {"vgg16"} == set(column(page, "runs", 2))
    assert len(column(page, "runs", 2)) == RUNS // 3
    page.run(
        "{const box = document.forms[0].elements.factor0; box.selectedIndex = 2;"
        "box.dispatchEvent(new Event('input', {bubbles: true}))}"
    )
    lower, upper = np.quantile(rates, [0.25, 0.5], method="lower")
    expected = [rate for number, rate in enumerate(rates) if number % 3 == 2 and lower <= rate <= upper]
    before = column(page, "arms", 0)
    assert sorted(map(float, before)) == sorted(expected) != []
    assert page.run("document.querySelector('output').textContent").startswith(f"{len(expected)} of 200 arms")
    page.call("Page.reload")
    page.wait("Page.loadEventFired")
    assert column(page, "arms", 0) == before
    page.run("document.querySelector('[type=reset]').click()")
    assert [float(text) for text in column(page, "arms", 0)] == rates

    # links point into the run folders
    links = page.run("[...document.querySelectorAll('#runs tbody tr:first-child a')].map(link => link.href)")
    assert [link.rsplit("/", 1)[1] for link in links] == ["config.yaml", "metrics.csv", "pictures", "0" * 10]
    assert all(Path(link.removeprefix("file://")).exists() for link in links[:3])

    # the page fits a phone; tables scroll in their own boxes
    page.resize(400)
    assert page.run("document.documentElement.scrollWidth") <= 400
    assert page.run("[...document.querySelectorAll('.scroll')].every(box => box.scrollWidth > box.clientWidth)")
    first = "[...document.querySelectorAll('#%s tr')].every(row => row.cells[%d].offsetLeft < row.cells[0].offsetLeft)"
    assert page.run(first % ("arms", 3))  # the metric
    assert page.run(first % ("runs", 6))

    # a click shows a picture in its own size, another one as before
    width = "document.images[0].clientWidth"
    assert page.run(width) < 400
    page.run("document.images[0].click()")
    assert page.run(width) == page.run("document.images[0].naturalWidth") > 400
    assert page.run("document.documentElement.scrollWidth") <= 400
    page.run("document.images[0].click()")
    assert page.run(width) < 400

    assert page.complaints() == []
    addresses = page.requests()
    assert addresses.count((report / "report.html").as_uri()) == 2
    assert all(address.startswith(("file:", "data:image/png")) for address in addresses)


def test_a_page_without_watch_does_not_reload(report):
    text = (report / "report.html").read_text()
    assert 'http-equiv="refresh"' not in text
    assert "<i>" not in text
    assert not re.search(r'(src|href)="(?!data:|\.\./|https://wandb)', text)


def test_no_picture_of_a_search_has_a_bar_for_each_arm(report):
    assert sorted(file.name for file in report.glob("*.png")) == [
        "curves.png",
        "gallery.png",
        "speed_accuracy.png",
        "values.png",
    ]
    for file in report.glob("*.png"):
        with Image.open(file) as picture:
            assert max(picture.size) < 3000


@needs_latex
@pytest.mark.parametrize("arms", [1, 3, 200])
def test_the_latex_table_compiles(arms, tmp_path):
    values = ["50% & more", "x_y#{z}~^\\$", 'a|b<c>"±"', *range(arms)][:arms]
    group = tmp_path / "group"
    for number, value in enumerate(values):
        write_run(
            group / str(number), config={"model": {"a_b": value}}, command=["fit", f"--model.a_b={json.dumps(value)}"]
        )
    assert run_report([group]) == 0
    packages = r"\usepackage{booktabs}\usepackage{longtable}"
    text = rf"\documentclass{{article}}{packages}\begin{{document}}\input{{table}}\end{{document}}"
    (group / "report" / "document.tex").write_text(text)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    done = subprocess.run(command, cwd=group / "report", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "Missing character" not in (group / "report" / "document.log").read_text()
    assert "Overfull \\vbox" not in (group / "report" / "document.log").read_text()


@pytest.mark.slow
def test_a_watched_report_follows_a_sweep_to_its_end(tmp_path):
    group = write_search(tmp_path / "runs" / "search", runs=4, unfinished=(2, 3))
    begun = group / f"{2:010x}"
    write_run(begun, score=0.5)
    result = (begun / "result.json").rename(tmp_path / "result.json")
    command = [sys.executable, "-m", "lit_cv", "report", group, "--watch", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = iter(process.stdout)
        assert next(lines).startswith("2 of 4 runs finished: ")
        page = (group / "report" / "report.html").read_text()
        assert '<meta http-equiv="refresh" content="1">' in page
        assert "2 of 4 runs unfinished" in page
        assert re.search(
            r'<tr class="open">.*<td class="text">unfinished</td><td class="metric" data-v="0.5">50.0</td>', page
        )
        assert re.search(
            r'<tr class="open">.*<td class="text">not started</td><td class="metric" data-v="">–</td>', page
        )
        result.rename(begun / "result.json")
        assert next(lines).startswith("3 of 4 runs finished: ")
        write_run(group / f"{3:010x}", score=0.75, git={"commit": "another", "dirty": False})
        rest = "".join(lines)
    assert process.returncode == 1  # the runs come from two commits, as the page also says
    page = (group / "report" / "report.html").read_text()
    assert '<tr class="open">' not in page
    assert 'http-equiv="refresh"' not in page
    assert "controlled: no" in page
    assert "report.html" in rest


@pytest.mark.slow
def test_ctrl_c_ends_the_watch_with_a_page_that_does_not_reload(tmp_path):
    group = write_search(tmp_path / "runs" / "search", runs=3, unfinished=(0,))
    command = [sys.executable, "-m", "lit_cv", "report", group, "--watch", "60"]
    listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a background job of a shell ignores SIGINT
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=listening) as process:
        next(iter(process.stdout))
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    page = (group / "report" / "report.html").read_text()
    assert 'http-equiv="refresh"' not in page
    assert "1 of 3 runs unfinished" in page

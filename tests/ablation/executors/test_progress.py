import time
from pathlib import Path

from rich.console import Console

from lit_cv.ablation.executors.progress import Progress, Row, last_number

ROWS = "step,epoch,name,value\n20,0,train/loss,0.75\n40,1,val/map_50,0.125\n60,1,train/loss,0.5\n80,1,train/lo"


def test_the_last_number_belongs_to_the_metric_and_an_incomplete_line_is_ignored(tmp_path):
    file = tmp_path / "metrics.csv"
    assert last_number(file, "val/map_50") == ("", "")
    file.write_text(ROWS)
    assert last_number(file, "val/map_50") == ("60", "0.125 val/map_50")
    assert last_number(file, None) == ("60", "0.5 train/loss")
    assert last_number(file, "val/other") == ("60", "0.5 train/loss")
    file.write_text("step,epoch,name,value\n" + "20,0,train/loss,0.75\n" * 5000 + "120,0,train/loss,0.25\n")
    assert last_number(file, "train/loss") == ("120", "0.25 train/loss")


def test_the_table_has_one_row_per_run_and_the_remaining_time(tmp_path):
    (tmp_path / "metrics.csv").write_text(ROWS)
    progress = Progress(5, workers=2, metric="val/map_50")
    console = Console(width=100)
    row = Row("scale=[16]", "GPU 0", time.monotonic() - 40, tmp_path)
    assert "time left unknown" in drawn(console, progress.table([row]))
    progress.finished("other", 60.0)
    text = drawn(console, progress.table([row, Row("late", "GPU 1", time.monotonic(), Path("nowhere"))]))
    assert "scale=[16]  GPU 0  40 s  60    0.125 val/map_50" in text
    # two pending runs of 60 s, two active runs with 20 s and 60 s left; two workers
    assert "1 of 5 done in 0 s, about 100 s left" in text


def test_a_run_has_one_line_on_a_narrow_terminal(tmp_path):
    (tmp_path / "metrics.csv").write_text(ROWS.replace("val/map_50", "val/a_metric_with_a_long_name"))
    row = Row("anchor_scales=24 48 96, roi_box=1, seed 1", "CPU 0", time.monotonic() - 40, tmp_path)
    table = Progress(5, workers=2, metric="val/a_metric_with_a_long_name").table([row])
    _header, line, _ = drawn(Console(width=80), table).splitlines()
    assert line.startswith("anchor_scales=24 48 96, roi_box=1, seed 1  CPU 0  40 s  60    0.125 val/a_me")


def test_runs_that_take_longer_than_the_finished_ones_are_not_said_to_end_at_once():
    progress = Progress(3, workers=2)
    progress.finished("other", 60.0)
    assert progress.time_left([61.0, 75.0]) == "the last take longer than the others"
    assert progress.time_left([61.0, 40.0]) == "about 10 s left"


def drawn(console, table):
    with console.capture() as capture:
        console.print(table)
    return capture.get()

import time
from pathlib import Path

from rich.console import Console

from lit_cv.ablation.executors.progress import Progress, Row, last_number

ROWS = "step,epoch,name,value\n20,0,train/loss,0.75\n40,1,val/map_50,0.125\n60,1,train/loss,0.5\n80,1,train/lo"


def test_the_last_number_belongs_to_the_metric_and_an_incomplete_line_is_ignored(tmp_path):
    file = tmp_path / "metrics.csv"
    assert last_number(file, "val/map_50") == ("", "")
    file.write_text(ROWS)
    assert last_number(file, "val/map_50") == ("60", "val/map_50 0.125")
    assert last_number(file, None) == ("60", "train/loss 0.5")
    assert last_number(file, "val/other") == ("60", "train/loss 0.5")
    file.write_text("step,epoch,name,value\n" + "20,0,train/loss,0.75\n" * 5000 + "120,0,train/loss,0.25\n")
    assert last_number(file, "train/loss") == ("120", "train/loss 0.25")


def test_the_table_has_one_row_per_run_and_the_remaining_time(tmp_path):
    (tmp_path / "metrics.csv").write_text(ROWS)
    progress = Progress(5, workers=2, metric="val/map_50")
    console = Console(width=100)
    row = Row("scale=[16]", "GPU 0", time.monotonic() - 40, tmp_path)
    assert "time left unknown" in drawn(console, progress.table([row]))
    progress.finished("other", 60.0)
    text = drawn(console, progress.table([row, Row("late", "GPU 1", time.monotonic(), Path("nowhere"))]))
    assert "scale=[16]  GPU 0  40 s  60    val/map_50 0.125" in text
    # two pending runs of 60 s, two active runs with 20 s and 60 s left; two workers
    assert "1 of 5 done in 0 s, about 100 s left" in text


def drawn(console, table):
    with console.capture() as capture:
        console.print(table)
    return capture.get()

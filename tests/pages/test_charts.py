import re

import numpy as np
import pytest

from lit_cv.pages import charts

SPLITS = {"train": 4.0, "val": 2.0}


def test_bars_are_as_long_as_their_shares_and_names_are_escaped():
    counts = {"train": np.array([3.0, 1.0]), "val": np.array([1.0, 0.0])}
    text = charts.bars("t", "a", ["<b>", "dog"], counts, SPLITS)
    assert "&lt;b&gt;" in text
    assert "<b>" not in text
    widths = [float(width) for width in re.findall(r"width:([\d.]+)%", text)]
    assert widths == pytest.approx([55, 55 * 0.5 / 0.75, 55 * 0.25 / 0.75, 0], abs=0.01)
    assert "3 · 75.0%" in text
    assert "<details>" not in text


def test_more_than_25_bars_unfold():
    counts = {"train": np.arange(30.0)}
    text = charts.bars("t", "a", [f"class {number}" for number in range(30)], counts, {"train": 435})
    shown, hidden = text.split("<details>")
    assert shown.count("label") == 25
    assert hidden.count("label") == 5
    assert "5 more" in hidden


def test_texts_are_at_the_edges_or_in_the_middle_of_bins():
    counts, medians = {"train": np.array([1.0, 3.0]), "val": np.zeros(2)}, {"train": 1.0, "val": np.nan}
    edges = charts.histogram("t", "a", ["0", "", "2"], counts, medians)
    assert re.findall(r'left:([\d.]+)%">(\d)', edges) == [("0.00", "0"), ("100.00", "2")]
    middles = charts.histogram("t", "a", ["0", "1"], counts, medians)
    assert re.findall(r'left:([\d.]+)%">(\d)', middles) == [("25.00", "0"), ("75.00", "1")]
    assert "Median: train 1. The highest bin has 75.0%." in middles
    paths = re.findall(r' d="(.*?)"', middles)
    assert paths == ["M0 100V66.0H1V2.0H2V100Z", "M0 100V98.0H1V98.0H2V100Z"]


def test_maps_and_tables_leave_out_what_is_empty():
    text = charts.heat_map("t", "a", {"train": np.array([[0.0, 4.0], [0.0, 2.0]]), "val": np.zeros((2, 2))})
    assert re.findall(r'x="(\d)" y="(\d)" width="1" height="1" opacity="([\d.]+)"', text) == [
        ("1", "0", "1.00"),
        ("1", "1", "0.50"),
    ]
    assert "train, at most 4" in text
    table = charts.matrix("t", "a", ["x", "y"], np.array([[1.0, 0.25], [0.001, 1.0]]))
    assert re.findall(r'--share:(\d+)%">(\d*)<', table) == [("0", ""), ("25", "25"), ("0", ""), ("0", "")]

"""The pictures of the lecture's methods: one for each drawing, committed as it is drawn."""

import re
from pathlib import Path

import pytest

from benchmarks.lecture.pictures.__main__ import DRAWINGS
from benchmarks.lecture.pictures.style import FOLDER, save

PARTS = re.compile(r'<g id="(\w+)"|<!-- (.*?) -->')  # shapes and texts; outlines of letters differ between versions


def test_every_drawing_is_committed_and_nothing_else() -> None:
    assert {f"{name}-method.svg" for name in DRAWINGS} == {path.name for path in FOLDER.glob("*-method.svg")}


@pytest.mark.parametrize("name", ["checkerboard", "upsampling"])  # their numbers are computed by the operators
def test_a_picture_is_drawn_as_it_is_committed(name: str, tmp_path: Path) -> None:
    drawn, committed = save(name, DRAWINGS[name], tmp_path), FOLDER / f"{name}-method.svg"
    parts = [PARTS.findall(file.read_text(encoding="utf-8")) for file in (drawn, committed)]
    assert len(parts[0]) > 50
    assert parts[0] == parts[1]

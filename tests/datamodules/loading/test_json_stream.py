import json
from pathlib import Path

import pytest

from datamodules.loading import json_stream as json_chunks
from datamodules.loading.json_stream import read_records
from lit_cv.errors import UserError

TEXT = '{"b": [], "skipped": {"a": [1, 2]}, "a": [%s], "c" : [ 1 ],\n "s": "[,]"}'
RECORDS = [{"x": [1, [2, 3]], "y": {"z": 'br}ck]t, "q" \\'}}, 4, "five, [", None, [], {}]


@pytest.mark.parametrize("chunk", [1, 2, 3, 6, 7, 100])
def test_records_are_those_of_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(json_chunks, "CHUNK", chunk)
    file = tmp_path / "some.json"
    file.write_text(TEXT % ", ".join(json.dumps(record) for record in RECORDS))
    chunks = list(read_records(file, ("a", "b", "c")))
    assert [record for key, records in chunks if key == "a" for record in records] == RECORDS
    assert {len(records) for key, records in chunks if key == "a"} <= {chunk, len(RECORDS) % chunk}
    assert [records for key, records in chunks if key == "c"] == [[1]]
    assert [records for key, records in chunks if key == "b"] == [[]]
    assert list(read_records(file, ())) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not begin"),
        ("[1, 2]", "does not begin"),
        ('{"a": [1, 2], "b": [{"c": "d', "cut off after 28 bytes"),
        ('{"a": [1, 2', "cut off after 11 bytes"),
        ('{"a"', "no key"),
        ('{"a": [1, {2}]}', r"unexpected|expected .* after byte 7"),
        ('{"a": {"b": 1}}', "'a' is not a list"),
        ('{"a": [1], }', "no key at byte 10"),
    ],
)
def test_a_damaged_file_is_named_with_the_place(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(UserError, match=rf"bad\.json is not valid JSON \(.*{reason}.*\): fetch it again"):
        list(read_records(file, ("a",)))


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = TEXT % '{"x": 1}, {"y": "z"}'
    file = tmp_path / "cut.json"
    for length in range(len(whole)):
        file.write_text(whole[:length])
        with pytest.raises(UserError, match=r"cut\.json is not valid JSON"):
            list(read_records(file, ("a", "c")))

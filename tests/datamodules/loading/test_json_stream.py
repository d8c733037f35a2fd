import codecs
import json
from pathlib import Path

import pytest

from datamodules.loading import json_stream
from datamodules.loading.json_stream import read_json, read_list, read_records
from lit_cv.errors import UserError

TEXT = '{"b": [], "skipped": {"a": [1, 2]}, "a": [%s], "c" : [ 1 ],\n "s": "[,]"}'
RECORDS = [{"x": [1, [2, 3]], "y": {"z": 'br}ck]t, "q" \\'}}, 4, "five, [", None, [], {}]


@pytest.mark.parametrize("chunk", [1, 2, 3, 6, 7, 100])
def test_records_are_those_of_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(json_stream, "CHUNK", chunk)
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
        ("", "it is empty"),
        ("\ufeff \n", "it is empty"),
        ("<html>", "does not begin"),
        ('{"a": [1, 2], "b": [{"c": "d', "cut off after 28 bytes"),
        ('{"a": [1, 2', "cut off after 11 bytes"),
        ('{"a"', "no key"),
        ('{"a": [1, {2}]}', r"unexpected|expected .* after byte 7"),
        ('{"b": [2],\n\n "a": ["ää",\n oops]}', r"in line 4, after byte 19"),
        ('{"a": [%s]}' % ("[" * 5000 + "]" * 5000), "in line 1"),
        ('{"a": [1], }', "no key at byte 10"),
    ],
)
def test_a_damaged_file_is_named_with_the_place(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(UserError, match=rf"bad\.json is not valid JSON \(.*{reason}.*\): fetch it again or fix it"):
        list(read_records(file, ("a",)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1, 2]", "holds a list, not an object: choose"),
        ('{"a": {"b": 1}}', r"has an object under 'a', not a list of records: write it as \[...\]"),
        ('{"a": null}', "has null under 'a', not a list"),
        ('{"a": "x"}', "has text under 'a', not a list"),
        ('{"a": 5}', "has a number or truth value under 'a', not a list"),
    ],
)
def test_valid_json_of_another_layout_is_not_called_invalid(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "other.json"
    file.write_text(text)
    with pytest.raises(UserError, match=rf"other\.json {reason}") as raised:
        list(read_records(file, ("a",)))
    assert "valid JSON" not in str(raised.value)


def test_byte_order_marks_are_passed_over_or_named(tmp_path: Path) -> None:
    file = tmp_path / "marked.json"
    file.write_bytes(codecs.BOM_UTF8 + b'{"a": [1, 2]}')
    assert list(read_records(file, ("a",))) == [("a", [1, 2])]
    assert read_json(file) == {"a": [1, 2]}
    file.write_bytes(codecs.BOM_UTF8 + b"\n[1, 2]")
    assert list(read_list(file)) == [1, 2]
    for encoding in ("utf-16", "utf-16-be"):
        file.write_bytes((codecs.BOM_UTF16_BE if encoding[-2:] == "be" else b"") + "[1, 2]".encode(encoding))
        for read in (lambda: list(read_list(file)), lambda: read_json(file)):
            with pytest.raises(UserError, match=r"marked\.json is UTF-16: save it as UTF-8"):
                read()


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = TEXT % '{"x": 1}, {"y": "z"}'
    file = tmp_path / "cut.json"
    for length in range(len(whole)):
        file.write_text(whole[:length])
        with pytest.raises(UserError, match=r"cut\.json is not valid JSON"):
            list(read_records(file, ("a", "c")))


@pytest.mark.parametrize("elements", [RECORDS, [], [1], [[]], [{"a": [1, {"b": "]"}]}, "c,d"]])
@pytest.mark.parametrize("indent", [None, 2])
def test_elements_are_those_of_the_whole_list(tmp_path: Path, elements: list[object], indent: int | None) -> None:
    file = tmp_path / "list.json"
    file.write_text("\n " + json.dumps(elements, indent=indent))
    assert list(read_list(file)) == elements


def test_nan_is_left_to_the_reader_of_the_records(tmp_path: Path) -> None:
    file = tmp_path / "nan.json"
    file.write_text('[{"x": NaN}, {"x": -Infinity}]')
    assert [str(element["x"]) for element in read_list(file)] == ["nan", "-inf"]


@pytest.mark.parametrize("text", ["", "oops", "[1, 2", '[{"a": 1}, {"b": [}]', "[1, oops]"])
def test_a_damaged_list_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(UserError, match=r"bad\.json is not valid JSON"):
        list(read_list(file))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.json cannot be read \(No such file or directory\)"):
        list(read_list(tmp_path / "none.json"))

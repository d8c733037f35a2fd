"""JSON files of hundreds of megabytes, parsed a few records at a time.

Parsed as a whole, such a file becomes tens of millions of Python objects: several times its size in memory.
"""

import codecs
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from lit_cv.errors import UserError
from lit_cv.ops.compiled import compiled
from lit_cv.runs.file_kinds import binary_kind

CHUNK = 128  # records; the objects of some thousand do not fit the cache, and parsing takes four times as long
_QUOTE, _BACKSLASH, _COMMA, _NEWLINE = ord('"'), ord("\\"), ord(","), ord("\n")
_OPENING, _CLOSING = (ord("["), ord("{")), (ord("]"), ord("}"))
_BLANK = re.compile(rb"\s*")
_KEY = re.compile(rb'\s*("(?:[^"\\]|\\.)*")\s*:\s*')
_KINDS = {ord("["): "a list", ord("{"): "an object", _QUOTE: "text", ord("n"): "null"}

Text = NDArray[np.uint8]


def read_records(path: Path, wanted: tuple[str, ...]) -> Iterator[tuple[str, list[Any]]]:
    """Read lists of records from a JSON object, ``{"<key>": [<record>, ...], ...}``.

    Args:
        path: The file.
        wanted: Keys whose lists are read; everything else is skipped unparsed.

    Yields:
        A key and some records of its list, in the order of the file; an empty list gives one empty chunk.

    Raises:
        UserError: If the file is missing, cut off, no such object, or not valid JSON in the parts that are read; or if
            a wanted key has something else than a list.
    """
    with _opened(path) as text:
        yield from _object(text, wanted)


def read_list(path: Path) -> Iterator[Any]:
    """Read the elements of a JSON list, one at a time.

    Raises:
        UserError: If the file is missing, cut off, no list, or not valid JSON.
    """
    with _opened(path) as text:
        for elements in _elements(text, _begin(text, "["), 1):
            yield from elements


def read_json(path: Path) -> Any:
    """Read a small JSON file as a whole; a byte-order mark is passed over.

    Raises:
        UserError: If the file cannot be read, or is not valid JSON.
    """
    with _opened(path) as text:
        start = _begin(text)
        return _parse(text, start, len(text))[0]


@contextmanager
def _opened(path: Path) -> Iterator[Text]:
    """Map a file into memory, and turn the errors of reading it into one sentence."""
    try:
        text = np.memmap(path, dtype=np.uint8, mode="r").view(np.ndarray) if path.stat().st_size else np.zeros(0, "u1")
        yield text
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}): restore it, or fix data.root and the sets."
        ) from None
    except (_OtherLayout, ValueError) as error:
        if kind := binary_kind(path):
            raise UserError(f"{path}: {kind}; a JSON file belongs there.") from None
        if isinstance(error, _OtherLayout):
            raise UserError(f"{path} {error}.") from None
        raise UserError(f"{path} is not valid JSON ({error}): fetch it again or fix it.") from None


class _OtherLayout(Exception):
    """Valid JSON, but not that of the expected layout."""


def _object(text: Text, wanted: tuple[str, ...]) -> Iterator[tuple[str, list[Any]]]:
    place = _begin(text, "{")
    while not _at(text, place, "}"):
        key = _KEY.match(text.data, place + 1)
        if key is None:
            raise ValueError(f"no key at byte {place + 1}")
        name, place = orjson.loads(key[1]), key.end()
        if name in wanted and not _at(text, place, "["):
            raise _OtherLayout(f"has {_kind(text, place)} under {name!r}, not a list of records: write it as [...]")
        if name in wanted:
            for records in _elements(text, place, CHUNK):
                yield name, records
        place = _end(text, place, 1)


def _elements(text: Text, place: int, count: int) -> Iterator[list[Any]]:
    """Yield the elements of the list that begins at ``place``, at most ``count`` at a time."""
    while not _at(text, place, "]"):
        start, place = place + 1, _end(text, place + 1, count)
        yield _parse(text, start, place)


def _begin(text: Text, bracket: str = "") -> int:
    """Return the place of the first character after a byte-order mark and blanks, which has to be ``bracket``."""
    head = text[:4].tobytes()
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise _OtherLayout("is UTF-16: save it as UTF-8")
    match = _BLANK.match(text.data, len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0)
    place = match.end() if match else 0
    if place == len(text):
        raise ValueError("it is empty")
    if bracket and not _at(text, place, bracket):
        if text[place] not in _OPENING:
            raise ValueError(f"it does not begin with {bracket}")
        raise _OtherLayout(f"holds {_kind(text, place)}, not {_KINDS[ord(bracket)]}: choose a file of the right layout")
    return place


def _kind(text: Text, place: int) -> str:
    """Return the kind of the value at a place, for messages."""
    if place == len(text):
        raise ValueError(f"it is cut off after {len(text):,} bytes")
    return _KINDS.get(int(text[place]), "a number or truth value")


def _at(text: Text, place: int, bracket: str) -> bool:
    return place < len(text) and text[place] == ord(bracket)


def _parse(text: Text, start: int, end: int) -> list[Any]:
    content = b"[" + text[start:end].tobytes() + b"]"
    try:
        records: list[Any] = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        try:
            records = json.loads(content)  # orjson refuses NaN and infinity, which are defects of single records
        except (ValueError, RecursionError):
            place = start + len(error.doc[: error.pos].encode()) - 1
            line = int(np.count_nonzero(text[:place] == _NEWLINE)) + 1
            raise ValueError(f"{error.msg} in line {line:,}, after byte {start:,}") from None
    return records


def _end(text: Text, start: int, count: int) -> int:
    place = int(_scan(text, start, count))
    if place == len(text):
        raise ValueError(f"it is cut off after {len(text):,} bytes")
    return place


@compiled
def _scan(text: Text, start: int, count: int) -> int:
    """Return the place of the ``count``-th comma of the list or object around ``start``, or of its closing bracket.

    The first of both counts; if there is neither, the result is the length of the text.
    """
    depth, quoted, place = 0, False, start
    while place < len(text):
        byte = text[place]
        if quoted:
            if byte == _BACKSLASH:
                place += 1
            elif byte == _QUOTE:
                quoted = False
        elif byte == _QUOTE:
            quoted = True
        elif byte in _OPENING:
            depth += 1
        elif byte in _CLOSING:
            if depth == 0:
                return place
            depth -= 1
        elif byte == _COMMA and depth == 0:
            count -= 1
            if count == 0:
                return place
        place += 1
    return len(text)

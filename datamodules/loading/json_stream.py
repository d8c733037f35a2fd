"""JSON files of hundreds of megabytes, parsed some records at a time.

Parsed as a whole, such a file becomes tens of millions of Python objects at once: several times its size in memory.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from lit_cv.errors import UserError
from lit_cv.ops.compiled import compiled

CHUNK = 128  # records; the objects of some thousand leave the cache, and parsing takes four times as long
_QUOTE, _BACKSLASH, _COMMA = ord('"'), ord("\\"), ord(",")
_OPENING, _CLOSING = (ord("["), ord("{")), (ord("]"), ord("}"))
_KEY = re.compile(rb'\s*("(?:[^"\\]|\\.)*")\s*:\s*')


def read_records(path: Path, wanted: tuple[str, ...]) -> Iterator[tuple[str, list[Any]]]:
    """Read lists of records from a JSON object, ``{"<key>": [<record>, ...], ...}``.

    Args:
        path: The file.
        wanted: Keys whose lists are read; everything else is skipped unparsed.

    Yields:
        A key and some records of its list, in the order of the file; an empty list gives one empty chunk.

    Raises:
        UserError: If the file is missing, cut off, no such object, or not valid JSON where it is read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): restore it, or fix root and the sets.") from None
    text = np.frombuffer(data, dtype=np.uint8)
    try:
        yield from _read(data, text, wanted)
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}): fetch it again.") from None


def _read(data: bytes, text: NDArray[np.uint8], wanted: tuple[str, ...]) -> Iterator[tuple[str, list[Any]]]:
    place = len(data) - len(data.lstrip())
    if data[place : place + 1] != b"{":
        raise ValueError("it does not begin with {")
    while data[place : place + 1] != b"}":
        key = _KEY.match(data, place + 1)
        if key is None:
            raise ValueError(f"no key at byte {place + 1}")
        name, place = orjson.loads(key[1]), key.end()
        if name in wanted and data[place : place + 1] == b"[":
            while data[place : place + 1] != b"]":
                start, place = place + 1, _end(text, place + 1, CHUNK)
                yield name, _parse(data, start, place)
            place += 1
        elif name in wanted:
            raise ValueError(f"{name!r} is not a list")
        place = _end(text, place, 1)


def _parse(data: bytes, start: int, end: int) -> list[Any]:
    try:
        records: list[Any] = orjson.loads(b"[" + data[start:end] + b"]")
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{error.msg} after byte {start:,}") from None
    return records


def _end(text: NDArray[np.uint8], start: int, count: int) -> int:
    place = int(_scan(text, start, count))
    if place == len(text):
        raise ValueError(f"it is cut off after {len(text):,} bytes")
    return place


@compiled
def _scan(text: NDArray[np.uint8], start: int, count: int) -> int:
    """The place of the ``count``-th comma of the list or object that ``start`` is in, or of its closing bracket.

    That bracket if it comes first; the length of the text if neither comes.
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


_WINDOW = 1 << 20  # characters read at once
_LONGEST = 1 << 26  # characters of one image's regions; real ones have some thousands
_BLANKS = " \t\r\n"


def _stream(path: Path) -> Iterator[Any]:
    """The elements of a JSON array, parsed one by one: all at once they would take several times the file's size."""
    try:
        with path.open(encoding="utf-8") as file:
            yield from _elements(iter(lambda: file.read(_WINDOW), ""))
    except (OSError, ValueError) as error:  # the errors of JSON and of UTF-8 are ValueErrors
        raise UserError(f"{path} cannot be read as a JSON list ({error}): fetch it again.") from None


def _elements(windows: Iterator[str]) -> Iterator[Any]:
    decode = json.JSONDecoder().raw_decode
    text, place = next(windows, "").lstrip(_BLANKS), 1
    if not text.startswith("["):
        raise ValueError("it does not begin with [")
    while True:
        place = _skip(text, place, _BLANKS + ",")
        if text.startswith("]", place):
            return
        try:
            element, place = decode(text, place)
        except json.JSONDecodeError:  # nothing is wrong if the window ends here
            text, place = _longer(text[place:], windows), 0
        else:
            yield element


def _longer(rest: str, windows: Iterator[str]) -> str:
    """The rest of the text and at least as much again, so that a long element is not parsed too often in vain."""
    parts, size = [rest], len(rest)
    if size > _LONGEST:
        raise ValueError(f"an entry is damaged or has more than {_LONGEST:,} characters: {rest[:40]}...")
    for window in windows:
        parts.append(window)
        size += len(window)
        if size >= 2 * len(rest):
            return "".join(parts)
    if size == len(rest):
        raise ValueError(f"it is cut off or damaged after {rest[:40]!r}")
    return "".join(parts)


def _skip(text: str, place: int, characters: str) -> int:
    while place < len(text) and text[place] in characters:
        place += 1
    return place

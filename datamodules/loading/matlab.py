"""Read a variable of a MATLAB 5 file with scipy, after a check of the tags that scipy's C code trusts."""

import zlib
from io import BytesIO
from math import prod
from struct import Struct, error
from typing import Any

import scipy.io
from scipy.io.matlab import matfile_version

_HEAD = 128  # bytes: a text, the version and the byte order
_MATRIX, _COMPRESSED = 14, 15
_DATA = frozenset((1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 16, 17, 18))  # integers, floating point numbers and text
_CELL, _STRUCT, _OBJECT, _TEXT, _SPARSE = 1, 2, 3, 4, 5
_NUMERIC = range(6, 16)
_COMPLEX = 1 << 11
_DEPTH = 50  # of nested arrays; MPII's have 7


def read_variable(data: bytes, name: str, **options: Any) -> Any:
    """Return a variable of a MATLAB file of version 4 or 5.

    scipy takes the type in a tag as an index into a table, and follows nested arrays without a limit: a damaged file
    ends the process. Every tag of the variable is therefore checked first. Level 5 MAT-File Format (MathWorks).

    Args:
        data: The file.
        name: Name of the variable.
        options: Those of :func:`scipy.io.loadmat`.

    Raises:
        ValueError: If a compressed part or a tag is damaged.
        KeyError: If there is no such variable.
        Exception: What scipy raises on unusable content.
    """
    if matfile_version(BytesIO(data))[0] == 1:  # MATLAB 5; the reader of version 4 has no C code
        data = data[:_HEAD] + _checked(data, name)
    return scipy.io.loadmat(BytesIO(data), variable_names=[name], **options)[name]


def _checked(data: bytes, name: str) -> bytes:
    """Return the element of a variable, not compressed, after a check of its tags."""
    order, place = "<" if data[126:128] == b"IM" else ">", _HEAD
    while place < len(data):
        kind, size = _Tags(data, order, place).tag()
        element = data[place : place + 8 + size]
        place += 8 + size
        if kind == _COMPRESSED:
            try:
                element = zlib.decompressobj().decompress(element[8:])  # MATLAB may omit the end of the stream
            except zlib.error as reason:
                raise ValueError(f"it is damaged: a compressed part has a fault, {reason}") from None
        tags = _Tags(element, order)
        if tags.variable() == name:
            tags.check()
            return element
    raise KeyError(name)


class _Tags:
    """Walks through the elements of a variable in the order in which scipy reads them.

    Args:
        data: The element of the variable.
        order: ``<`` or ``>``, the order of bytes.
        place: Byte to begin at.
    """

    def __init__(self, data: bytes, order: str, place: int = 0) -> None:
        self.data, self.place, self.order = data, place, order
        self.pair = Struct(f"{order}II").unpack_from

    def variable(self) -> str:
        """Return the name of the variable."""
        if self.tag()[0] != _MATRIX:
            raise self._damaged("an array is missing")
        name = self._header()[2]
        self.place = 0
        return name

    def check(self, depth: int = 0) -> None:
        """Check an array and those in it.

        Raises:
            ValueError: If a tag is damaged.
        """
        kind, size = self.tag()
        if kind != _MATRIX or depth > _DEPTH:
            raise self._damaged("an array is missing" if kind != _MATRIX else "arrays are nested too deeply")
        if not size:
            return
        flags, count, _ = self._header()
        form = flags & 255
        if form in _NUMERIC or form in (_TEXT, _SPARSE):
            for _ in range((3 if form == _SPARSE else 1) + bool(flags & _COMPLEX and form != _TEXT)):
                self._element()
        elif form in (_CELL, _STRUCT, _OBJECT):
            for _ in range(count if form == _CELL else count * self._fields(form)):
                self.check(depth + 1)
        else:
            raise self._damaged(f"an array has the class {form}")

    def tag(self) -> tuple[int, int]:
        """Return type and number of bytes of the element that begins here."""
        try:
            pair: tuple[int, int] = self.pair(self.data, self.place)
        except error:
            raise self._damaged("its end is missing") from None
        self.place += 8
        return pair

    def _header(self) -> tuple[int, int, str]:
        """Return flags, number of elements and name of an array."""
        if self.tag() != (6, 8):
            raise self._damaged("the flags of an array are missing")
        flags, _ = self.tag()
        sizes = self._integers()
        count = prod(sizes)
        most = len(self.data) if flags & 255 != _SPARSE else 2**62
        if not 1 <= len(sizes) <= 32 or min(sizes) < 0 or count > most:
            raise self._damaged(f"an array has the shape {sizes[:32]}")
        return flags, count, self._element().decode("latin-1")

    def _fields(self, form: int) -> int:
        """Return the number of fields of a struct or object."""
        if form == _OBJECT:
            self._element()
        length = self._integers()
        if len(length) != 1 or length[0] < 1:
            raise self._damaged("the names of fields have no length")
        return len(self._element()) // length[0]

    def _integers(self) -> tuple[int, ...]:
        content = self._element()
        return Struct(f"{self.order}{len(content) // 4}i").unpack_from(content)

    def _element(self) -> bytes:
        """Return the content of an element, which is no array."""
        kind, size = self.tag()
        start, small = self.place, kind >> 16
        if small:  # of up to 4 bytes, which are part of the tag
            kind, size, start = kind & 0xFFFF, small, start - 4
        else:
            self.place = start + size + -size % 8
        if kind not in _DATA or start + size > len(self.data) or small > 4:
            raise self._damaged(f"an element has the type {kind} and {size} bytes")
        return self.data[start : start + size]

    def _damaged(self, fault: str) -> ValueError:
        return ValueError(f"it is damaged: near byte {self.place}, {fault}")

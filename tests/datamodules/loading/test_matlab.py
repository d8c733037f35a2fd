"""Damaged MATLAB files are refused before scipy's C code, which would end the process, reads them."""

import io
import struct
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from datamodules.loading.matlab import read_variable

HEAD = 128  # bytes


def saved(content: Any, compressed: bool = False) -> bytes:
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"other": "text", "wanted": content}, do_compression=compressed)
    return buffer.getvalue()


def element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + b"\0" * (-len(content) % 8)


def matrix(form: int, *rest: bytes, shape: tuple[int, ...] = (1, 1), name: bytes = b"") -> bytes:
    flags = element(6, struct.pack("<II", form, 0))
    return element(14, b"".join([flags, element(5, struct.pack(f"<{len(shape)}i", *shape)), element(1, name), *rest]))


def nested(depth: int) -> bytes:
    inner = matrix(6, element(9, bytes(8)))
    for _ in range(depth):
        inner = matrix(1, inner)
    return inner


def wanted(content: bytes) -> bytes:
    """Return a file whose variable is a cell that holds an array."""
    return saved(0)[:HEAD] + matrix(1, content, name=b"wanted")


@pytest.mark.parametrize("compressed", [False, True])
def test_content_is_that_of_scipy(compressed: bool) -> None:
    cells = np.empty((1, 2), dtype=object)
    cells[0, 0], cells[0, 1] = scipy.sparse.csc_matrix(np.eye(3, 400)), np.zeros((0, 0))
    struct_array = {
        "numbers": np.arange(12.0).reshape(3, 4),
        "text": "äb",
        "cells": cells,
        "complex": np.array([1j, 2]),
    }
    data = saved({**struct_array, "inner": {"flag": True}}, compressed)
    found, expected = read_variable(data, "wanted"), scipy.io.loadmat(io.BytesIO(data))["wanted"]
    assert found.dtype.names == expected.dtype.names == ("numbers", "text", "cells", "complex", "inner")
    for field in ("numbers", "text", "complex"):
        assert np.array_equal(found[field].item(), expected[field].item())
    assert (found["cells"].item()[0, 0].toarray() == np.eye(3, 400)).all()
    assert found["inner"].item()["flag"].item() == 1
    with pytest.raises(KeyError, match="absent"):
        read_variable(data, "absent")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (matrix(6, element(4105, bytes(8))), "an element has the type 4105 and 8 bytes"),
        (matrix(6, element(8, bytes(8))), "an element has the type 8"),
        (matrix(6, struct.pack("<II", 9, 2**31)), "an element has the type 9 and 2147483648 bytes"),
        (matrix(6, struct.pack("<HHI", 9, 5, 0)), "an element has the type 9 and 5 bytes"),
        (matrix(6, element(9, bytes(8)), shape=(-1, -1)), r"an array has the shape \(-1, -1\)"),
        (matrix(1, shape=(2**30, 2**30)), "an array has the shape"),
        (matrix(1, shape=(1, 9)), "its end is missing"),
        (matrix(2, element(5, bytes(4)), element(1, b"name")), "the names of fields have no length"),
        (matrix(99), "an array has the class 99"),
        (nested(60_000), "arrays are nested too deeply"),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_tags_are_refused(content: bytes, fault: str, compressed: bool) -> None:
    data = wanted(content)
    if compressed:
        data = data[:HEAD] + element(15, zlib.compress(data[HEAD:]))
    with pytest.raises(ValueError, match=f"it is damaged: near byte [0-9]+, {fault}"):
        read_variable(data, "wanted")


def test_damage_in_a_compressed_part_is_found_by_its_checksum() -> None:
    data = bytearray(saved(np.random.default_rng(1).random((9, 9)), compressed=True))
    data[-9] ^= 1
    with pytest.raises(ValueError, match="it is damaged: a compressed part has a fault"):
        read_variable(bytes(data), "wanted")


def test_no_word_of_a_file_that_is_changed_ends_the_process() -> None:
    """Every word of a file in turn gets a value that a tag cannot have; a crash would end the child."""
    code = """
import io, sys
from datamodules.loading.matlab import read_variable
data = sys.stdin.buffer.read()
for place in range(128, len(data), 4):
    for word in (b"\\0\\0\\0\\0", b"\\x08\\x10\\0\\0", b"\\x31\\x10\\1\\0", b"\\xff\\xff\\xff\\xff"):
        try:
            read_variable(data[:place] + word + data[place + 4 :], "wanted")
        except Exception as error:
            print(type(error).__name__)
"""
    data = saved({"a": {"b": [1.0, 2.0], "c": "text"}, "d": np.array([[{"e": 1.0}, "x"]], dtype=object)})
    child = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, timeout=120)
    assert child.returncode == 0, child.stderr.decode()[-2000:]
    assert child.stdout.count(b"ValueError") > len(data) / 8

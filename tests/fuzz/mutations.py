"""Mutations of files: of their bytes, and of the trees of mappings, lists and values that they hold."""

import copy
import math
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

Place = tuple[Any, Any]  # a container and the key or index of a node in it


class Raw(str):
    """A text that a writer puts into the file as it stands, without quotes."""


class Twin(str):
    """A key that may appear twice in a mapping."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


NUMBERS = (
    *(-1, 0, 1, 7, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 2**64, 10**400),
    *(0.5, -0.5, 1e-320, 1e300, math.nan, math.inf, -math.inf, Raw("1e400"), Raw("-0")),
)
TEXTS = (
    *(
        "",
        " ",
        "x",
        "-1",
        "1.5",
        "nan",
        "inf",
        "1e400",
        "null",
        "true",
        "no/such/place",
        ".",
        "a\0b",
        "a\nb",
        "é" * 300,
    ),
    *("\ud800", "😀", "\u202e", "x" * 5_000, "[1, 2", "{", "<a>", "&", "%s", "$HOME", "~", "*", "#1", "0x1F", "1_000"),
)
OTHERS: tuple[Any, ...] = (
    *(None, True, False, [], {}, [None], [[]], [1, 2], [[1, 2], [3]], {"a": 1}, {"": None}, [{}], ["x"]),
    Raw("[" * 3_000 + "]" * 3_000),
)
SIGNS = tuple(sign.encode() for sign in "\"'<>{}[],:\n\t-&*!%\r\\")
TOKENS = (b"\0", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"NaN", b"1e999", b"9" * 400, *SIGNS)


def spoiled_bytes(rng: Random, data: bytes) -> bytes:
    """Return the bytes with one to four mutations."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(BYTES)(rng, data)
    return data


def _flip(rng: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 20)) if data else 0):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _set(rng: Random, data: bytes) -> bytes:
    start = rng.randrange(len(data) + 1)
    length = rng.choice((1, 2, 4, 8))
    return data[:start] + rng.choice((b"\0", b"\xff", b"\x7f", b"9")) * length + data[start + length :]


def _truncate(rng: Random, data: bytes) -> bytes:
    end = rng.randrange(len(data) + 1)
    return data[:end] if rng.random() < 0.7 else data[end:]


def _duplicate(rng: Random, data: bytes) -> bytes:
    start, end = _span(rng, data)
    return data[:end] + data[start:end] + data[end:]


def _remove(rng: Random, data: bytes) -> bytes:
    start, end = _span(rng, data)
    return data[:start] + data[end:]


def _insert(rng: Random, data: bytes) -> bytes:
    place = rng.choice((0, len(data), rng.randrange(len(data) + 1)))
    return data[:place] + rng.choice(TOKENS) + data[place:]


def _recode(rng: Random, data: bytes) -> bytes:
    return data.decode("latin-1").encode(rng.choice(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7")))


def _empty(rng: Random, data: bytes) -> bytes:
    return rng.choice((b"", b"\n", b"null", b"3", b"[]", b"{}", b'""', data + data))


BYTES: tuple[Callable[[Random, bytes], bytes], ...] = (
    *(_flip, _flip, _set, _set, _truncate, _duplicate, _remove, _insert, _insert, _recode, _empty),
)


def _span(rng: Random, data: bytes) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 4, 30, 300)))


def spoiled_tree(rng: Random, tree: Any) -> Any:
    """Return a copy of a tree with one to three mutations of its nodes."""
    tree = [copy.deepcopy(tree)]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(tree))
        container, key = rng.choice(places)
        change: Callable[..., None] = rng.choice(CHANGES)
        change(rng, container, key, places)
    return tree[0]


def _places(tree: Any) -> Iterator[Place]:
    """Yield every node; of long lists the first and last ones."""
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    for key in keys if len(keys) < 40 else keys[:20] + keys[-20:]:
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from _places(tree[key])


def _drop(rng: Random, container: Any, key: Any, places: list[Place]) -> None:
    if len(places) > 1 and container is not places[0][0]:  # the root stays
        del container[key]


def _replace(rng: Random, container: Any, key: Any, places: list[Place]) -> None:
    container[key] = copy.deepcopy(rng.choice(rng.choice((NUMBERS, TEXTS, OTHERS))))


def _retype(rng: Random, container: Any, key: Any, places: list[Place]) -> None:
    value = container[key]
    if isinstance(value, bool | str) or value is None:
        container[key] = rng.choice((0, 1.0, [value], {"value": value}, str(value).upper(), f" {value} ", f"{value}\0"))
    elif isinstance(value, int | float):
        container[key] = rng.choice((str(value), -value, value + 0.5, value * 1e6, [value], f"{value}x", bool(value)))
    elif isinstance(value, list):
        container[key] = rng.choice((value[:1], value + value[-1:], [value], dict(enumerate(value)), value[::-1]))
    elif isinstance(value, dict):
        container[key] = rng.choice((list(value.items()), list(value.values()), [value], str(value)[:200]))


def _double(rng: Random, container: Any, key: Any, places: list[Place]) -> None:
    if isinstance(container, list):
        container.insert(key, copy.deepcopy(container[key]))
    else:
        container[Twin(key)] = rng.choice((container[key], None, "x"))


def _swap(rng: Random, container: Any, key: Any, places: list[Place]) -> None:
    other, place = rng.choice(places)
    container[key], other[place] = copy.deepcopy(other[place]), copy.deepcopy(container[key])


def _rename(rng: Random, container: Any, key: Any, places: list[Place]) -> None:
    if isinstance(container, dict):
        container[rng.choice((str(key)[:-1], str(key).upper(), "", 3, None, f"{key}.{key}", "init_args"))] = container[
            key
        ]
        del container[key]


CHANGES = (_drop, _drop, _replace, _replace, _replace, _replace, _retype, _retype, _double, _swap, _rename)

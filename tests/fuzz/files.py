"""Readers and writers of files as trees of mappings, lists and values, for the mutations of `mutations.py`."""

import io
import json
import re
import struct
import zlib
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import numpy as np
import scipy.io
import yaml

from tests.fuzz.mutations import Raw, Twin, spoiled_bytes, spoiled_tree

RAW_YAML = (
    *(
        "&a [*a]",
        "*b",
        "!!python/object:os.system {}",
        "!!binary x",
        "!!timestamp x",
        "2024-13-45",
        "0o9",
        "=",
        "? [a]: b",
    ),
    *(
        "{[1]: 2}",
        "{{}: 1}",
        "!!set {a, a}",
        "!!int x",
        "!!float x",
        "1:99:99",
        "[" * 2_000,
        "{a: " * 2_000,
        "<<",
        "\t",
    ),
    *("{<<: 3}", "{1: 2, 1: 3}", "{null: 1}", "{true: 1}", "| x", "%", "@", "`", "!!omap [a: 1]", "--- a", "..."),
)
RAW_XML = (
    "<!DOCTYPE a [<!ENTITY b 'c'>]>",
    "&b;",
    "<![CDATA[x]]>",
    "<!-- -- -->",
    "<?xml version='2.0'?>",
    "&#0;",
    "<a b='1' b='2'/>",
)


def spoil(rng: Random, file: Path) -> None:
    """Mutate a file, its bytes or the tree that it holds."""
    kind = KINDS.get(file.suffix)
    if kind is not None and rng.random() > 0.35:
        try:
            kind(rng, file)
            return
        except Exception:  # an earlier mutation made the file unreadable, or its tree is none of this kind of file
            file.touch()
    file.write_bytes(spoiled_bytes(rng, file.read_bytes()))


def json_bytes(tree: Any) -> bytes:
    """Write a tree as JSON; half characters and NaN are written as Python does."""
    raws: list[str] = []
    text = json.dumps(_marked(tree, raws), skipkeys=True)
    return re.sub(r'"@raw(\d+)@"', lambda found: raws[int(found[1])], text).encode("utf-8", "surrogatepass")


def yaml_bytes(tree: Any) -> bytes:
    """Write a tree as YAML."""
    raws: list[str] = []
    text = yaml.dump(_marked(tree, raws), Dumper=_Dumper, sort_keys=False, allow_unicode=False)
    return re.sub(r"'?@raw(\d+)@'?", lambda found: raws[int(found[1])], text).encode("utf-8", "surrogatepass")


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(Twin, lambda dumper, value: dumper.represent_str(str.__str__(value)))


def _marked(tree: Any, raws: list[str]) -> Any:
    """Put marks, which YAML and JSON write as they stand, in the place of raw texts."""
    if isinstance(tree, Raw):
        raws.append(str.__str__(tree))
        return f"@raw{len(raws) - 1}@"
    if isinstance(tree, dict):
        return {key: _marked(value, raws) for key, value in tree.items()}
    return [_marked(value, raws) for value in tree] if isinstance(tree, list | tuple) else tree


def _spoil_json(rng: Random, file: Path) -> None:
    file.write_bytes(json_bytes(spoiled_tree(rng, json.loads(file.read_bytes()))))


def _spoil_yaml(rng: Random, file: Path) -> None:
    tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    if rng.random() < 0.2:
        words = file.read_text(encoding="utf-8").splitlines()
        words.insert(
            rng.randrange(len(words) + 1), " " * rng.choice((0, 2, 4)) + rng.choice(("", "a: ")) + rng.choice(RAW_YAML)
        )
        file.write_bytes("\n".join(words).encode())
    else:
        file.write_bytes(yaml_bytes(spoiled_tree(rng, tree)))


def _spoil_xml(rng: Random, file: Path) -> None:
    text = _xml(spoiled_tree(rng, _element(ElementTree.fromstring(file.read_bytes()))))
    if rng.random() < 0.2:
        place = rng.randrange(len(text) + 1)
        text = text[:place] + rng.choice(RAW_XML) + text[place:]
    head = rng.choice(("", "", "", '<?xml version="1.0" encoding="gb2312"?>', '<?xml version="1.0" encoding="none"?>'))
    file.write_bytes((head + text).encode("utf-8", "surrogatepass"))


def _element(element: ElementTree.Element) -> list[Any]:
    return [element.tag, [_element(child) for child in element] or element.text or ""]


def _xml(node: Any) -> str:
    if isinstance(node, list) and len(node) == 2 and isinstance(node[0], str):
        content = "".join(map(_xml, node[1])) if isinstance(node[1], list) else _xml(node[1])
        return f"<{node[0]}>{content}</{node[0]}>"
    return str(node) if isinstance(node, Raw) else escape(str(node))


def _spoil_mat(rng: Random, file: Path) -> None:
    from datamodules.loading.matlab import read_variable  # imported here because it imports torch

    name = "joints" if file.stem == "joints" else "RELEASE"
    tree = {name: _unpacked(read_variable(file.read_bytes(), name))}  # scipy alone might crash on damaged tags
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, _packed(spoiled_tree(rng, tree)), do_compression=rng.random() < 0.5, long_field_names=True)
    file.write_bytes(buffer.getvalue())


def _unpacked(value: Any) -> Any:
    """Return an array of MATLAB as lists and mappings; arrays of numbers and text stay whole if they are large."""
    if isinstance(value, np.ndarray) and value.dtype.names:
        rows = [{name: _unpacked(row[name]) for name in value.dtype.names} for row in value.ravel()]
        return {"struct": rows, "shape": list(value.shape)}
    if isinstance(value, np.ndarray) and value.dtype == object:
        return {"cell": [_unpacked(item) for item in value.ravel()], "shape": list(value.shape)}
    if isinstance(value, np.ndarray) and value.size == 1:
        return value.item()
    return {"array": value.ravel().tolist(), "shape": list(value.shape)} if isinstance(value, np.ndarray) else value


def _packed(node: Any) -> Any:
    """Return what `scipy.io.savemat` writes for a node; a value that it cannot write becomes text."""
    if isinstance(node, dict):
        node = {str(key): value for key, value in node.items() if str(key).strip()}
        for kind in ("struct", "cell", "array"):
            if isinstance(node.get(kind), list):
                return _shaped(_array(kind, node[kind]), node.get("shape"))
        return {re.sub(r"\W|^(?=[\d_])", "a", key)[:60]: _packed(value) for key, value in node.items()} or "{}"
    if isinstance(node, list):
        return _array("cell", node)
    if node is None:
        return np.zeros((0, 0))
    if isinstance(node, int) and not -(2**63) <= node < 2**63:
        return math_float(node)
    return node.encode("ascii", "replace").decode().replace("\0", "0") if isinstance(node, str) else node


def math_float(number: int) -> float:
    """Return an integer as a float, infinite if it is too large."""
    return float("inf") if abs(number) > 2**1000 else float(number)


def _array(kind: str, items: list[Any]) -> Any:
    if kind == "struct" and items and all(isinstance(item, dict) for item in items):
        names = list(
            dict.fromkeys(re.sub(r"\W|^(?=[\d_])", "a", str(key))[:60] or "a" for item in items for key in item)
        )
        rows = np.empty(len(items), dtype=[(name, object) for name in names] or [("a", object)])
        for row, item in zip(rows, items, strict=True):
            for name in rows.dtype.names:
                row[name] = _packed(item.get(name))
        return rows
    if kind == "array" and items and all(isinstance(item, int | float) for item in items):
        return np.array([math_float(item) if isinstance(item, int) else item for item in items])
    cells = np.empty(len(items), dtype=object)
    cells[:] = [_packed(item) for item in items]
    return cells


def _shaped(array: Any, shape: Any) -> Any:
    try:
        return array.reshape(shape)
    except (ValueError, TypeError, OverflowError):
        return array


def _spoil_png(rng: Random, file: Path) -> None:
    """Change a field of the header, or drop, repeat or empty a chunk, with right checksums."""
    data, chunks = file.read_bytes(), []
    place = 8
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        chunks.append([data[place + 4 : place + 8], data[place + 8 : place + 8 + length]])
        place += 12 + length
    chosen = rng.randrange(len(chunks))
    if rng.random() < 0.6:  # width, height, bits, kind of color, ...
        header = list(struct.unpack(">IIBBBBB", chunks[0][1]))
        field = rng.randrange(len(header))
        header[field] = rng.choice(
            (0, 1, 2, 3, 4, 6, 8, 16, 33, 255) if field > 1 else (0, 1, 31, 33, 60_000, 2**31 - 1, 2**32 - 1)
        )
        chunks[0][1] = struct.pack(">IIBBBBB", *header)
    elif rng.random() < 0.5:
        del chunks[chosen]
    else:
        chunks.insert(chosen, [chunks[chosen][0], rng.choice((b"", chunks[chosen][1], b"\0" * 5_000))])
    parts = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    ]
    file.write_bytes(data[:8] + b"".join(parts))


def _spoil_jpeg(rng: Random, file: Path) -> None:
    """Change the size or the number of components of a JPEG, or write other pixels under its name."""
    data = bytearray(file.read_bytes())
    frame = data.find(b"\xff\xc0")
    if frame > 0 and rng.random() < 0.6:
        data[frame + rng.choice((4, 5, 6, 7, 8, 9, 11))] = rng.choice((0, 1, 2, 4, 17, 255))
        file.write_bytes(bytes(data))
    else:
        other_picture(rng, file)


def other_picture(rng: Random, file: Path) -> None:
    """Write a picture of another kind, size or orientation under the name of a file."""
    from PIL import Image

    mode = rng.choice(("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "LA", "F"))
    size = rng.choice(((32, 32), (1, 1), (32, 1), (1, 32), (33, 32), (32, 64), (3_000, 2)))
    kinds = {
        "1": ("PNG", "TIFF"),
        "L": ("JPEG", "PNG", "GIF"),
        "P": ("PNG", "GIF"),
        "RGB": ("JPEG", "PNG", "BMP", "WEBP"),
    }
    kinds |= {
        "RGBA": ("PNG", "WEBP"),
        "CMYK": ("JPEG", "TIFF"),
        "I;16": ("PNG", "TIFF"),
        "LA": ("PNG",),
        "F": ("TIFF",),
    }
    image = Image.new(mode, size)
    exif = Image.Exif()
    exif[0x0112] = rng.choice((1, 3, 6, 8, 0, 9, 65_535))
    image.save(file, rng.choice(kinds[mode]), **({"exif": exif} if mode == "RGB" else {}))


KINDS: dict[str, Any] = {
    ".json": _spoil_json,
    ".yaml": _spoil_yaml,
    ".xml": _spoil_xml,
    ".mat": _spoil_mat,
    ".png": _spoil_png,
    ".jpg": _spoil_jpeg,
}

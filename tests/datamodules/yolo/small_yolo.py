"""A data set in YOLO's form: three pictures of 64x48 pixels, two to train on."""

from pathlib import Path

import numpy as np
from PIL import Image

A = "0 0.5 0.5 0.25 0.5\n1 0.25 0.25 0.125 0.125\n"
B = "2 0.5 0.5 0.25 0.25\n\n0 0.125 0.5 0.25 0.25 \n"
C = "0 0.5 0.5 0.5 0.5\n1 0.5 0.5 0.25 0.25\n2 0.25 0.25 0.25 0.25"
ENTRIES = "train: images/train\nval: images/val"


def picture(path: Path, size: tuple[int, int] = (64, 48)) -> None:
    """Write a picture of (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).save(path)


def write(
    root: Path,
    labels: dict[str, str] | None = None,
    names: str = "[a, b, c]",
    entries: str = ENTRIES,
    train: str = "images/train",
    val: str = "images/val",
) -> Path:
    """Write a data.yaml, two training pictures and one for validation, and their labels by Ultralytics' rule.

    Args:
        root: The folder, which is returned.
        labels: Texts that replace those of ``a``, ``b b`` and ``c``.
        names: The names in data.yaml.
        entries: Its other lines.
        train: Folder of the training pictures.
        val: Folder of the validation pictures.
    """
    texts = {"a": A, "b b": B, "c": C} | (labels or {})
    for folder, file in ((train, "a.jpg"), (train, "b b.jpg"), (val, "c.png")):
        picture(root / folder / file)
        place = f"{folder}/".rpartition("images/")
        label = root / (place[0] + place[1].replace("images", "labels") + place[2]) / f"{Path(file).stem}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_bytes(texts[Path(file).stem].encode())
    (root / "data.yaml").write_text(f"names: {names}\nnc: 3\n{entries}\n")
    return root

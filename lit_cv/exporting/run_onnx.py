"""Runs a network that `litcv export --network onnx` has written. It needs only onnxruntime, OpenCV and NumPy.

    python network_example.py network.onnx IMAGE [IMAGE ...] [--draw FOLDER] [--score-threshold 0.3]

Prints one line of JSON for each image. With --draw, it also writes each image with what was found into a folder.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

COLORS = np.random.default_rng(1).integers(64, 256, (256, 3)).tolist()


def predict(session: onnxruntime.InferenceSession, picture: np.ndarray) -> dict[str, np.ndarray]:
    """Return the outputs of the network by name, for a picture uint8 (H, W, 3), BGR as OpenCV reads it.

    The network resizes and normalizes the pixels itself. Boxes, masks and keypoints are in pixels of the picture.
    """
    pixels = np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1))  # uint8 (3, H, W), RGB
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": pixels}), strict=True))


def above(found: dict[str, np.ndarray], threshold: float) -> dict[str, np.ndarray]:
    """Select the objects whose score is above a threshold; outputs without scores are unchanged."""
    if "scores" not in found:
        return found
    chosen = found["scores"] > threshold
    return {name: rows[chosen] for name, rows in found.items()}


def described(found: dict[str, np.ndarray], names: list[str]) -> dict[str, Any]:
    """Return the outputs as numbers and names: objects with their class, the classes of a mask, or joints."""
    if "mask" in found:  # of a semantic segmentation: 0 is the background
        classes, pixels = np.unique(found["mask"], return_counts=True)
        names = ["background", *names]
        return {"pixels": {names[kind]: int(count) for kind, count in zip(classes, pixels, strict=True)}}
    if "scores" not in found:
        return {"keypoints": found["keypoints"].round(2).tolist()}
    rows = zip(found["labels"], found["scores"], found["boxes"], strict=True)
    objects = [
        {"class": names[label - 1], "score": round(float(score), 4), "box": box.round(2).tolist()}
        for label, score, box in rows
    ]
    for one, points in zip(objects, found.get("keypoints", ()), strict=False):
        one["keypoints"] = points.round(2).tolist()
    return {"objects": objects}


def draw(picture: np.ndarray, found: dict[str, np.ndarray], names: list[str]) -> np.ndarray:
    """Return a copy of a picture with boxes, masks and joints on it."""
    drawn = picture.copy()
    colors = np.array([[0, 0, 0], *COLORS], np.uint8)
    if "mask" in found:
        inside = found["mask"] > 0
        drawn[inside] = (picture[inside] // 2) + colors[found["mask"][inside]] // 2
    for index, label in enumerate(found.get("labels", [])):
        color = COLORS[label]
        if "masks" in found:
            inside = found["masks"][index] > 0
            drawn[inside] = drawn[inside] // 2 + np.array(color, np.uint8) // 2
        x1, y1, x2, y2 = (int(side) for side in found["boxes"][index].round())
        cv2.rectangle(drawn, (x1, y1), (x2, y2), color, 2)
        cv2.putText(drawn, names[label - 1], (x1 + 2, y1 + 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, color)
    for person in found.get("keypoints", []):
        for x, y in person[:, :2]:
            cv2.circle(drawn, (int(x), int(y)), 3, (0, 255, 0), -1)
    return drawn


def main() -> None:
    """Predict for the images of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path)
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    parser.add_argument("--draw", type=Path, metavar="FOLDER")
    parser.add_argument("--score-threshold", type=float, default=0.3)
    options = parser.parse_args()
    session = onnxruntime.InferenceSession(options.network, providers=["CPUExecutionProvider"])
    names = json.loads(session.get_modelmeta().custom_metadata_map["class_names"])
    for file in options.images:
        picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if picture is None:
            raise SystemExit(f"{file}: cannot be read as an image")
        found = above(predict(session, picture), options.score_threshold)
        print(json.dumps({"file": str(file), **described(found, names)}))
        if options.draw is not None:
            options.draw.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(options.draw / f"{file.stem}.png"), draw(picture, found, names))


if __name__ == "__main__":
    main()

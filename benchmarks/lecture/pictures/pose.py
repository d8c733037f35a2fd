"""Picture of joint regression."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from benchmarks.lecture.pictures.style import BLUE, GRAY, GREEN, INK, ORANGE, RED, arrow, canvas, write

FIGURE = {"head": (0, 8), "neck": (0, 5.6), "right": (-3.2, 3.2), "left": (3.2, 3.2), "hip": (0, 1), "foot": (-2, -3.4),
          "other": (2, -3.4)}  # fmt: skip
LIMBS = (("head", "neck"), ("neck", "right"), ("neck", "left"), ("neck", "hip"), ("hip", "foot"), ("hip", "other"))


def pose_losses(figure: Figure) -> None:
    """Draw the three losses, and a person whose joints have exchanged their names."""
    axes = canvas(figure)
    curves = figure.add_axes((0.07, 0.2, 0.43, 0.66))
    curves.set_facecolor("none")
    d = np.linspace(-1.6, 1.6, 161)
    smooth = np.where(np.abs(d) < 0.5, d**2, np.abs(d) - 0.25)
    for loss, name, color, at in (
        (d**2, "L2", RED, (-1.3, 2.2)),
        (np.abs(d), "L1", BLUE, (1.7, 1.7)),
        (smooth, "smooth L1", GREEN, (1.7, 1.25)),
    ):
        curves.plot(d, loss, color=color, linewidth=1.8)
        curves.text(*at, name, color=color, ha="left", va="center", fontsize=9)
    curves.set_xlim(-1.7, 3)
    curves.set_ylim(0, 2.5)
    curves.set_xticks([0])
    curves.set_yticks([])
    curves.spines[["top", "right"]].set_visible(False)
    curves.set_xlabel("difference d of a joint", fontsize=8.5)
    write(axes, (12.5, 23.3), "loss", weight="bold")
    write(axes, (35, 23.3), "a mislabeled person", weight="bold")
    places = {name: np.array([34, 10.5]) + 1.15 * np.array(place) for name, place in FIGURE.items()}
    for start, end in LIMBS:
        axes.plot(*zip(places[start], places[end], strict=True), color=GRAY, linewidth=3, solid_capstyle="round")
    for place in places.values():
        axes.add_patch(Circle(tuple(place), 0.62, facecolor=INK))
    for start, end in (("head", "foot"), ("right", "other"), ("hip", "left")):
        arrow(axes, tuple(places[start]), tuple(places[end]), ORANGE, connectionstyle="arc3,rad=-0.35", linewidth=1.5)
    write(axes, (34, 3), "its joints exchange their names:\na few large differences", 8.5)

import itertools

import pytest

from lit_cv.runs.files import write_json
from tests.helpers.fake_project import write_run

SCALES, RATIOS = "model.network.anchor_scales", "model.network.anchor_ratios"
LEVELS = {SCALES: [[128], [256], [128, 256, 512]], RATIOS: [[1.0], [0.5, 1.0, 2.0]]}


@pytest.fixture
def make_group(tmp_path):
    """Write synthetic runs of every combination of the levels, with scores by arm and seed, and their sweep.json."""

    def make(levels=LEVELS, seeds=(1, 2, 3), name="anchors", score=None, sweep_file="sweeps/anchors.yaml"):
        group = tmp_path / "runs" / name
        arms = []
        for number, combination in enumerate(itertools.product(*levels.values())):
            values = dict(zip(levels, combination, strict=True))
            network = {key.split(".")[2]: value for key, value in values.items() if key.startswith("model.network.")}
            others = {key: value for key, value in values.items() if not key.startswith("model.network.")}
            config = {"model": {"init_args": {"network": {"init_args": network}}}, "data": {"root": "data"}, **others}
            arm = {"values": values, "runs": []}
            for seed in seeds:
                value = score(number, seed) if score else 0.4 + 0.01 * number + 0.001 * seed * (number % 3)
                run_id = f"{number:04x}{seed:06x}"
                write_run(group / run_id, seed=seed, config=config, score=value, seconds_per_image=0.01 * (number + 1))
                arm["runs"].append({"seed": seed, "id": run_id})
            arms.append(arm)
        plan = {
            "name": name,
            "description": "Anchors of Faster R-CNN",
            "file": str(tmp_path / sweep_file),
            "metric": {"name": "val/map_50", "goal": "maximize"},
            "swept": list(levels),
            "arms": arms,
        }
        write_json(group / "sweep.json", plan)
        return group

    return make

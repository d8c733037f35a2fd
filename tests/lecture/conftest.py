"""A project with one claim of its own, whose runs are written."""

import itertools
from pathlib import Path

import pytest
import yaml

from lit_cv.ablation.sweep.plan import plan, save_plan
from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.runs.files import write_json
from tests.helpers.fake_project import COMMAND, write_run

NAME = "rates"
RATES = (0.1, 0.2, 0.3)
SCORES = {0.1: (0.50, 0.52, 0.49, 0.51), 0.2: (0.60, 0.61, 0.60, 0.60), 0.3: (0.50, 0.51, 0.50, 0.52)}
ENTRY = {
    "name": NAME,
    "number": 2,
    "page": "heads",
    "claim": "A larger rate is better.",
    "metric": "val/map_50",
    "baseline": {"lr": 0.1},
    "expect": [{"arm": {"lr": 0.2}, "is": "better"}],
    "paper_scale": "5 seeds on COCO, 100 GPU-hours.",
}


class Project:
    """The files of a small project in a folder, which is the current one."""

    def __init__(self, root: Path) -> None:
        self.root, self.group = root, Path("runs") / f"lecture_{NAME}"
        self.sweep = Path(f"sweeps/lecture/{NAME}.yaml")
        for folder in ("benchmarks/lecture", "docs/lecture", "sweeps/lecture"):
            Path(folder).mkdir(parents=True)
        Path("experiment.yaml").write_text("model: {lr: 0.1}\n")
        Path("benchmarks/lecture/table.yaml").write_text("heads: {1: Heads matter., 2: Rates matter.}\n")
        Path("docs/lecture/heads.md").write_text("# Heads\n\nBy hand.\n")
        Path("docs/lecture/index.md").write_text("# The lecture\n\nBy hand.\n")
        self.write_sweep()
        self.write_claims(ENTRY)

    def write_sweep(self, **changes: object) -> None:
        seeds = {"seed_everything": {"values": [1, 2, 3, 4]}}
        content = {
            "name": f"lecture_{NAME}",
            "method": "grid",
            "metric": {"name": "val/map_50", "goal": "maximize"},
            "parameters": {"model.lr": {"values": list(RATES)}, **seeds},
            "command": [word.replace("=study", f"=lecture_{NAME}") for word in COMMAND],
        }
        self.sweep.write_text(yaml.safe_dump(content | changes))

    def write_claims(self, *entries: dict[str, object]) -> None:
        Path("benchmarks/lecture/claims.yaml").write_text(yaml.safe_dump(list(entries)))

    def write_runs(self, scores: dict[float, tuple[float, ...]] = SCORES, **changes: object) -> None:
        sweep = load_sweep(self.sweep)
        jobs = plan(sweep)
        for job, (place, rate) in zip(jobs, itertools.product(range(4), RATES), strict=True):
            config = {"model": {"lr": rate}, "data": {"root": str(self.root / "data")}}
            cost = {"gflops": 10 * rate, "seconds_per_image": rate}
            written = {"seed": place + 1, "config": config, "score": scores[rate][place]}
            write_run(job.folder, **written, **cost | {"command": job.trial.args} | changes)
        save_plan(sweep, jobs, self.group)
        entry = {"key": "k", "runs": [job.folder.name for job in jobs], "ms": {"min": 1.5, "upper": 2.5}}
        write_json(self.group / "cost.json", {"structures": [entry], "hardware": {"device": "a CPU", "threads": 1}})


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)

"""Arms of sweeps over experiment files differ only in the network."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from lit_cv.ablation.results.comparability import OF_THE_NETWORK
from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.runs.settings import canonical, flatten
from lit_cv.training.experiment import _parser, parsed

ROOT = Path(__file__).parents[2]
SWEEPS = [path for path in sorted(ROOT.glob("sweeps/*.yaml")) if len(load_sweep(path).parameters.get("config", [])) > 1]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_arms_of_different_experiments_differ_only_in_the_network(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    sweep = load_sweep(path)
    found: dict[str, Counter[str]] = {}
    trials = {trial.values["config"]: trial for trial in sweep.trials()}
    for trial in trials.values():
        resolved = yaml.safe_load(_parser().dump(parsed(trial.args), skip_none=False))["fit"]
        for key, value in flatten(resolved).items():
            if not key.startswith((*OF_THE_NETWORK, "config")):
                found.setdefault(key, Counter())[canonical(value)] += 1
    assert {key: dict(values) for key, values in found.items() if len(values) > 1} == {}
    assert all(sum(values.values()) == len(trials) for values in found.values())

"""Wrong environment variables are one sentence, too."""

from pathlib import Path

import pytest

from lit_cv.training.preflight import check_trials
from tests.console.console import litcv, small


def test_an_unknown_mode_of_wandb_is_refused_before_the_run(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "foo")
    code, _, errors = litcv("fit", *(arg for arg in small(shapes, tmp_path) if not arg.startswith("--run.wandb")))
    assert code == 1
    assert errors == ["litcv: error: WANDB_MODE is 'foo'; set it to online, offline or disabled, or unset it."]
    assert not (tmp_path / "runs").exists()


def test_a_sweep_of_an_own_class_passes_its_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The class is found from the current folder, as in the runs themselves."""
    (tmp_path / "own_network.py").write_text("from lit_cv.models import SSD\n\n\nclass OwnSSD(SSD):\n    pass\n")
    config = str(Path("experiments/quickstart/ssd.yaml").resolve())
    monkeypatch.chdir(tmp_path)
    code, _, errors = litcv("proposals", config, "--model.network=own_network.OwnSSD")
    assert (code, len(errors)) == (1, 1)
    assert "attaches no proposals" in errors[0]
    check_trials([["fit", "--config", config, "--model.network=own_network.OwnSSD"]], "val/map_50")

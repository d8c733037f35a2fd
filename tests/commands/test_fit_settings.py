"""The settings of an experiment, as `litcv fit` shows them."""

from pathlib import Path

import pytest
import yaml

from lit_cv.cli import main

SSD = "experiments/quickstart/ssd.yaml"


def shown(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    try:
        code = main(["fit", *args])
    except SystemExit as exit_:  # LightningCLI prints the settings and leaves
        code = exit_.code
    assert code == 0
    return capsys.readouterr().out


def test_the_file_may_stand_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    assert shown(capsys, SSD, "--print_config") == shown(capsys, "--config", SSD, "--print_config")


@pytest.mark.parametrize("args", [(SSD, "--help"), ("--config", SSD, "-h"), (SSD, "--print_config=comments")])
def test_help_of_an_experiment_explains_its_settings(
    args: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    text = shown(capsys, *args)
    assert "# Height and width of the resized image in pixels" in text
    settings = yaml.safe_load(text)
    assert settings["model"]["init_args"]["network"]["class_path"] == "lit_cv.models.SSD"
    assert {"trainer", "run", "seed_everything"} < set(settings)
    if "--print_config=comments" not in args:  # the help begins with the parts of an experiment
        assert list(settings)[:2] == ["model", "data"]

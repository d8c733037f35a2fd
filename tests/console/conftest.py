import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from datamodules import Shapes
from datamodules.voc.generated import write_voc
from tests.console.console import ROOT


@pytest.fixture(autouse=True)
def quiet_in_the_project(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in the project's folder, without the notes of Lightning on the machine: the messages here are ours."""
    monkeypatch.chdir(ROOT)
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shapes")
    write_voc(folder, Shapes(train=4, val=2, size=64, seed=1))
    return folder

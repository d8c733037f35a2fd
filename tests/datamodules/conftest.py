"""Small generated data sets in the official layout, and a cache of their own."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from datamodules import VOCDetectionDataModule
from datamodules.voc.generated import write_voc
from tests.helpers.small_shapes import SETTINGS


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITCV_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a generated VOCdevkit: 10 training and 5 validation images of 64 px. Do not change it."""
    root = tmp_path_factory.mktemp("generated")
    write_voc(root, SETTINGS)
    return root


@pytest.fixture
def voc_root(generated: Path, tmp_path: Path) -> Path:
    """A copy of the generated root that tests may damage."""
    return shutil.copytree(generated, tmp_path / "root")


@pytest.fixture
def open_data() -> Callable[..., VOCDetectionDataModule]:
    """A function that makes a DataModule and prepares it."""

    def opened(root: Path, **options: object) -> VOCDetectionDataModule:
        data = VOCDetectionDataModule(str(root), **options)  # type: ignore[arg-type]
        data.prepare_data()
        data.setup()
        return data

    return opened

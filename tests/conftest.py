import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.helpers.wandb_fixtures"]

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep packed annotations out of the user's cache."""
    os.environ["LITCV_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def end_of_wandb_run() -> Iterator[None]:
    """End the run of W&B that a test has left open: the next one's logger would take it for its own."""
    yield
    if "wandb" in sys.modules and sys.modules["wandb"].run:
        sys.modules["wandb"].finish()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with real subsets (VOCdevkit/, coco/, weights/), named by LITCV_TEST_DATA."""
    folder = os.environ.get("LITCV_TEST_DATA")
    if not folder:
        pytest.skip("LITCV_TEST_DATA names no folder of real data")
    return Path(folder)

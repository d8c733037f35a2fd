import os
from pathlib import Path

import pytest

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep packed annotations out of the user's cache."""
    os.environ["LITCV_CACHE"] = str(tmp_path_factory.mktemp("cache"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what starts a cluster, W&B's clients or many trainings, unless LITCV_TEST_SERVICES asks for it."""
    if not os.environ.get("LITCV_TEST_SERVICES"):
        reason = pytest.mark.skip(
            reason="takes minutes (a cluster, W&B's clients, many trainings); set LITCV_TEST_SERVICES=1"
        )
        for item in items:
            if item.get_closest_marker("services"):
                item.add_marker(reason)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with real subsets (VOCdevkit/, coco/, weights/), named by LITCV_TEST_DATA."""
    folder = os.environ.get("LITCV_TEST_DATA")
    if not folder:
        pytest.skip("LITCV_TEST_DATA names no folder of real data")
    return Path(folder)

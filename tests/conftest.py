import os
from pathlib import Path

import pytest

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with real subsets (VOCdevkit/, coco/, weights/), named by LITCV_TEST_DATA."""
    folder = os.environ.get("LITCV_TEST_DATA")
    if not folder:
        pytest.skip("LITCV_TEST_DATA names no folder of real data")
    return Path(folder)

import gc
import os
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.helpers.wandb_fixtures"]

ROOT = Path(__file__).parents[1]

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Import the packages without looking for garbage, of which they leave none, and never look through them again."""
    gc.disable()
    result = yield
    gc.freeze()
    gc.enable()
    return result


def pytest_unconfigure() -> None:
    """Let the interpreter find what it frees at its end; otherwise extension modules report it as leaked."""
    gc.unfreeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests, then those with many: no process is left with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    number = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path not in slow, -number[item.path], item.path))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Use a temporary cache for packed annotations instead of the user's cache."""
    os.environ["LITCV_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    # A pytest that a test starts deletes the folders of earlier sessions at its end, which may take minutes.
    os.environ["PYTEST_DEBUG_TEMPROOT"] = str(tmp_path_factory.mktemp("pytest"))


@pytest.fixture(autouse=True)
def clean_checkout() -> Iterator[None]:
    """Refuse a test that makes data or runs in the checkout, where the next test would find them."""
    missing = [folder for folder in (ROOT / "data", ROOT / "runs") if not folder.exists()]
    yield
    assert not any(folder.exists() for folder in missing), f"a test has made one of {missing}"


@pytest.fixture(autouse=True)
def end_of_wandb_run() -> Iterator[None]:
    """End the W&B run that a test has left open; the logger of the next test would continue it."""
    yield
    if "wandb" in sys.modules and sys.modules["wandb"].run:
        sys.modules["wandb"].finish()


@pytest.fixture(autouse=True)
def end_of_determinism() -> Iterator[None]:
    """Undo what a training with `deterministic: true` has set for the process."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder with real subsets (VOCdevkit/, coco/, weights/), given by LITCV_TEST_DATA."""
    folder = os.environ.get("LITCV_TEST_DATA")
    if not folder:
        pytest.skip("LITCV_TEST_DATA is not set to a folder with real data")
    return Path(folder)

from pathlib import Path
from typing import Any

import datamodules
from datamodules import Shapes
from datamodules.base import DataModule

SETTINGS = Shapes(train=10, val=5, size=64, seed=1)
TINY = Shapes(train=8, val=3, size=40)


def opened(kind: str, root: Path, **options: Any) -> DataModule[Any]:
    """Return a DataModule on a few tiny generated pictures, prepared and set up."""
    settings: dict[str, Any] = {"source": "shapes", "shapes": TINY, "batch_size": 2, "seed": 3, **options}
    data: DataModule[Any] = getattr(datamodules, kind)(str(root), **settings)
    data.prepare_data()
    data.setup()
    return data

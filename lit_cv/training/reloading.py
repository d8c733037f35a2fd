"""A run back in Python: its network with its weights, and its data."""

from pathlib import Path

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from datamodules.loading.decode import read_image
from lit_cv.models.network import Network
from lit_cv.runs.checkpoints import best_checkpoint
from lit_cv.runs.folder import require_run
from lit_cv.training.experiment import parsed
from lit_cv.training.from_data import data_module
from lit_cv.training.preflight import built_network


def load(run: str | Path) -> Network:
    """Return the network of a run with the weights of its best checkpoint, in eval mode and on the CPU.

    The data, the ImageNet weights and the initial weights of the run are not needed. ``network.predict([image])``
    resizes and normalizes images itself; label n of a prediction is ``network.class_names[n - 1]``.

    Args:
        run: Folder of the run, ``runs/<group>/<id>``.

    Raises:
        UserError: It is no run, or it has no checkpoint that can be read.
    """
    folder = Path(run)
    require_run(folder)
    file = best_checkpoint(folder)
    network: Network = built_network(_experiment(folder).model)  # type: ignore[assignment]
    checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    prefix, state = "network.", checkpoint["state_dict"]
    network.load_state_dict({name.removeprefix(prefix): state[name] for name in state if name.startswith(prefix)})
    network.class_names = tuple(checkpoint["class_names"])
    return network.eval()


def data(run: str | Path) -> LightningDataModule:
    """Return the DataModule of a run, ready for ``val_dataloader()`` and the other loaders.

    Args:
        run: Folder of the run, ``runs/<group>/<id>``. Paths in its settings are relative to the current folder.

    Raises:
        UserError: It is no run, or its data is missing.
    """
    folder = Path(run)
    require_run(folder)
    module = data_module(_experiment(folder))
    module.prepare_data()
    module.setup("fit")
    return module


def image(path: str | Path) -> Tensor:
    """Read an image file as training does: uint8 (3, H, W) RGB.

    Raises:
        UserError: The file is missing, truncated or no image.
    """
    return torch.from_numpy(read_image(Path(path))).permute(2, 0, 1).contiguous()


def _experiment(folder: Path):  # type: ignore[no-untyped-def]
    return parsed(["fit", "--config", str(folder / "config.yaml")]).fit

"""Measure the networks of a sweep, in turns and alone, and collect the settings that this needs from a run."""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning import seed_everything
from lightning.pytorch import LightningDataModule

from lit_cv.bench.cost import device_name
from lit_cv.bench.turns import OtherWork, Subject, in_turns, spread
from lit_cv.errors import UserError, expected_failure
from lit_cv.models.compiling import compile_network
from lit_cv.models.network import Network
from lit_cv.runs.checkpoints import best_checkpoint
from lit_cv.runs.files import lock, read_json, read_yaml, write_json
from lit_cv.runs.settings import canonical, flatten
from lit_cv.runs.structure import COST_FILE, structure
from lit_cv.tasks.base import Task
from lit_cv.training.experiment import built, parsed
from lit_cv.training.provenance import git_state

AUTOCAST = {"bf16-mixed": "bfloat16", "16-mixed": "float16"}  # precision of the trainer -> dtype of torch
FULL = ("32-true", "32", 32, None)
IMAGES = 4  # of the validation set, for each network
SECONDS = 2.0  # of measuring for each network
PATIENCE = 600.0  # seconds to wait for another measurement on this machine


@dataclass
class Measured:
    """A structure to measure: the runs that share it, and the network and images of the first of them."""

    key: str
    setting: Any
    weights: str
    subject: Subject
    folders: list[Path] = field(default_factory=list)


def measure_groups(groups: Sequence[Path], most: int | None = None) -> None:
    """Measure the time per image of all networks of some groups of finished runs, in turns, and write ``cost.json``.

    Networks of equal structure are measured once, with the weights of the first of their runs. Only one process of a
    user measures on a machine at a time. The console says what is measured.

    Args:
        groups: Folders of groups; each gets its own ``cost.json``.
        most: Number of networks above which nothing is measured, with a sentence that says so.

    Raises:
        UserError: There is no finished run, no network can be measured, or another process measures for too long.
    """
    runs = [file.parent for group in groups for file in sorted(group.glob("*/result.json"))]
    if not runs:
        raise UserError(f"{' '.join(map(str, groups))}: no finished run to measure; run the sweep first.")
    shared = {run: _shared(run) for run in runs}
    count = len(set(shared.values()))
    if most is not None and count > most:
        print(
            f"time per image: {count} networks are not measured; `litcv report {groups[0]} --measure` does.", flush=True
        )
        return
    busy = "another process has been measuring on this machine for ten minutes; wait for it or stop it."
    with lock(lock_file(), busy, patience=PATIENCE):
        networks = "1 network" if count == 1 else f"{count} networks"
        print(f"time per image: measuring {networks} of {len(runs)} runs, in turns and alone", flush=True)
        other, found = OtherWork(), list[tuple[Measured, list[float]]]()
        for subjects in _loaded(shared):
            seconds = SECONDS * len(subjects)
            found += zip(subjects, in_turns([one.subject for one in subjects], seconds), strict=True)
        share = other.share()
    if not found:
        raise UserError("the time per image could not be measured; the table shows the times of the runs themselves.")
    for group in groups:
        own = [(one, rounds) for one, rounds in found if any(folder.parent == group for folder in one.folders)]
        write_json(group / COST_FILE, _record(group, own, share))
        print(f"time per image: {group / COST_FILE}", flush=True)


def lock_file() -> Path:
    """Return the file that a process locks while it measures, one for each user of this machine."""
    return Path(tempfile.gettempdir()) / f"litcv-measuring-{os.getuid()}.lock"


def _record(group: Path, found: Sequence[tuple[Measured, list[float]]], share: float | None) -> dict[str, Any]:
    device = next(found[0][0].subject.network.parameters()).device if found else torch.device("cpu")
    return {
        "measured": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "git": git_state(),
        "versions": {"torch": version("torch")},
        "hardware": {"device": device_name(device), "threads": torch.get_num_threads()},
        "other_work": share,
        "batch": 1,
        "images": IMAGES,
        "structures": [
            {
                "key": one.key,
                "network": type(one.subject.network).__name__,
                "precision": str(one.setting.fit.trainer.precision or FULL[0]),
                "weights": one.weights,
                "runs": sorted(folder.name for folder in one.folders if folder.parent == group),
                "rounds": len(rounds),
                "ms": spread(rounds),
            }
            for one, rounds in found
        ],
    }


def _loaded(shared: Mapping[Path, str]) -> Iterator[list[Measured]]:
    """Yield the structures of some runs, as many at a time as the memory holds.

    Args:
        shared: For each run, the text that runs of the same structure share.
    """
    structures, images = dict[str, Measured](), dict[str, list[torch.Tensor]]()
    waiting, size = list[Measured](), 0
    for folder, text in shared.items():
        try:
            one = _prepared(folder, text, structures, images)
        except Exception as error:
            if (failure := expected_failure(error)) is None and not isinstance(error, RuntimeError):
                raise
            print(f"time per image: {folder} is left out ({failure or error})", flush=True)
            continue
        if one.folders == [folder]:
            waiting.append(one)
            size += sum(weight.nbytes for weight in one.subject.network.parameters())
            if size > _memory(one.subject.images[0].device):
                yield waiting
                waiting, size = [], 0
    if waiting:
        yield waiting


def _prepared(
    folder: Path, shared: str, structures: dict[str, Measured], images: dict[str, list[torch.Tensor]]
) -> Measured:
    """Return the structure of a run, which is built if it is new."""
    config = flatten(read_yaml(folder / "config.yaml"))
    of_data = canonical({key: value for key, value in config.items() if key.split(".")[0] == "data"})
    setting = parsed(["fit", "--config", str(folder / "config.yaml")])
    trainer = setting.fit.trainer
    device = device_of(trainer.accelerator)
    network = None
    if of_data not in images:
        network, data = build(setting, _checkpoint(folder))
        images[of_data] = [image.to(device) for image in images_of(data, IMAGES)]
    shapes = [list(image.shape) for image in images[of_data]]
    key = hashlib.sha256(canonical([shared, shapes, str(device)]).encode()).hexdigest()[:16]
    if key not in structures:
        checkpoint = _checkpoint(folder)
        network = network or build(setting, checkpoint)[0]
        subject = Subject(network.to(device), images[of_data], precision_of(trainer.precision, device))
        structures[key] = Measured(key, setting, str(checkpoint or "as the experiment starts"), subject)
    structures[key].folders.append(folder)
    return structures[key]


def _shared(folder: Path) -> str:
    """Return a text that runs share if their networks have the same structure."""
    config = flatten(read_yaml(folder / "config.yaml"))
    return structure(config, read_json(folder / "result.json")) or str(folder)


def _checkpoint(folder: Path) -> Path | None:
    """Return the best checkpoint of a run, or None: without its checkpoints it is measured with its first weights."""
    return best_checkpoint(folder) if any((folder / "checkpoints").glob("*.ckpt")) else None


def _memory(device: torch.device) -> int:
    """Return the bytes that the networks of one measurement may take: half of what is free."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    free = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"  # the latter on macOS
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf(free) // 2


def build(setting: Any, checkpoint: Path | None) -> tuple[Network, LightningDataModule]:
    """Build the network of a parsed experiment, and its data without proposals: the network finds its own.

    Args:
        setting: The experiment.
        checkpoint: Checkpoint with the weights of the network; None: those with which the experiment starts.
    """
    data = setting.fit.data.init_args
    if "proposals" in data:
        data.proposals = None
    seed_everything(setting.fit.seed_everything, workers=True, verbose=False)
    experiment = built(setting).fit
    network: Network = experiment.model.network
    if checkpoint is not None:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
        prefix = "network."
        network.load_state_dict({key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)})
    if isinstance(experiment.model, Task):
        compile_network(network, experiment.model.compile_mode)
    return network, experiment.data


def images_of(data: LightningDataModule, count: int) -> list[torch.Tensor]:
    """Return the first images of the validation set, uint8 (3, H, W), at most `count`."""
    data.prepare_data()
    data.setup("validate")
    images: list[torch.Tensor] = []
    for batch, _ in data.val_dataloader():
        images += batch
        if len(images) >= count:
            break
    return images[:count]


def device_of(accelerator: str) -> torch.device:
    """Return the device of `trainer.accelerator`; `auto` is the GPU if there is one.

    Raises:
        UserError: This machine has no such device, or it is none that is measured.
    """
    if accelerator in ("cuda", "gpu") and not torch.cuda.is_available():
        raise UserError(f"--trainer.accelerator={accelerator}: this machine has no GPU; write cpu or auto.")
    if accelerator not in ("auto", "cpu", "cuda", "gpu"):
        raise UserError(f"--trainer.accelerator={accelerator}: bench measures on cpu and gpu; write one of them.")
    return torch.device("cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu")


def precision_of(precision: Any, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context of a `trainer.precision`.

    Raises:
        UserError: It is none that is measured.
    """
    if precision in FULL:
        return nullcontext()
    if precision not in AUTOCAST:
        known = ", ".join([FULL[0], *AUTOCAST])
        raise UserError(f"--trainer.precision={precision}: bench measures {known}; write one of them.")
    return torch.autocast(device.type, getattr(torch, AUTOCAST[precision]))

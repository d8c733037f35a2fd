"""Training of SVMs and box regressors on features on disk, in resumable stages."""

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from tqdm import tqdm

from lit_cv.callbacks.rcnn_stages.feature_dump import FeatureDump
from lit_cv.callbacks.rcnn_stages.hard_negatives import HardNegativeMining
from lit_cv.callbacks.rcnn_stages.linear_models import solve_ridge
from lit_cv.callbacks.rcnn_stages.rows import RegionRows
from lit_cv.contract import HasDifficult, HasTrainingOrder, provides
from lit_cv.models.rcnn.region_svm import RegionClassifiers
from lit_cv.runs.checkpoints import AtomicCheckpointIO

PENALTY = 1000.0  # lambda of the box regressors (appendix C)
BLOCK = 1000  # rows, of whole images, that the SVMs see together
CHUNK = 4096  # rows that the box regressors see together
SAVE_EVERY = 30.0  # seconds between two records of the SVMs' training

Result = dict[str, Any]
Features = Callable[[list[Tensor], list[Tensor]], Tensor]


class RegionTraining:
    """The stages of ``RegionStages`` on one network and one data set.

    Each stage writes its result under its name into the folder and is skipped if its result exists.

    Args:
        network: A ``StagedDetector``, on the device that computes its features.
        data: A set-up DataModule.
        folder: Folder of results, records and features.
        passes: See ``RegionStages``.
        keep_features: See ``RegionStages``.
    """

    def __init__(
        self, network: nn.Module, data: HasTrainingOrder, folder: Path, passes: int, keep_features: bool
    ) -> None:
        self.network, self.data, self.folder = cast(Any, network), data, folder
        self.passes, self.keep_features = passes, keep_features
        self.classifiers = cast(RegionClassifiers, network.region_classifiers)
        self.classes = len(self.classifiers.svm_bias)
        self.files = AtomicCheckpointIO()

    def run(self) -> None:
        """Carry out the missing stages and store all results in the network."""
        self._discard_others()
        regions = RegionRows(**self._once("regions", self._collect))
        if self.network.classifier == "svm":
            dump = FeatureDump(self.folder / "features", len(regions), self.classifiers.features)
            svms = self._once("svms", lambda: self._train_svms(regions, dump))
            self._take_svms(**svms)
            self._clear(dump)
        if self.network.box_regression and self.classifiers.box_features:
            pairs = regions.pairs()
            dump = FeatureDump(self.folder / "box_features", len(pairs.rows), self.classifiers.box_features)
            self.classifiers.set_boxes(**self._once("boxes", lambda: self._train_boxes(regions, dump)))
            self._clear(dump)

    def _discard_others(self) -> None:
        """Delete results of other weights or data: a repeated training need not end with the same weights."""
        digest = hashlib.sha256(self.data.fingerprint.encode())
        for name, value in self.network.state_dict().items():
            if not name.startswith("region_classifiers."):
                digest.update(value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        mark = self.folder / "made_with.txt"
        if not mark.exists() or mark.read_text() != digest.hexdigest():
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            mark.write_text(digest.hexdigest())

    def _once(self, stage: str, work: Callable[[], Result]) -> Result:
        path = self.folder / f"{stage}.pt"
        if not path.exists():
            self.files.save_checkpoint(work(), path)
        return self.files.load_checkpoint(path)

    def _clear(self, dump: FeatureDump) -> None:
        if not self.keep_features:
            dump.delete()

    def _collect(self) -> Result:
        difficult = self.data.difficult if provides(self.data, HasDifficult) else False
        regions = RegionRows.collect(self._targets(), difficult, self.network.proposals_train)
        return vars(regions)

    def _targets(self) -> Iterator[dict[str, Tensor]]:
        loader = self.data.train_in_order()
        for _, targets in tqdm(loader, desc="Regions of the training images", unit="batch", delay=2):
            self.network.given(targets)
            yield from targets

    def _fill(self, dump: FeatureDump, regions: RegionRows, rows: Tensor, features: Features) -> None:
        """Write the missing features of rows (ascending)."""
        dump.announce()
        images_in_all = len(regions.offsets) - 1
        with tqdm(total=images_in_all, initial=dump.images, desc="Features", unit="image", delay=2) as bar:
            for images, _ in self.data.train_in_order(dump.images):
                boxes = list(regions.split(rows, dump.images, len(images)))
                dump.append(features(images, boxes), len(images))
                bar.update(len(images))

    def _train_svms(self, regions: RegionRows, dump: FeatureDump) -> Result:
        self._fill(dump, regions, torch.arange(len(regions)), self.network.region_features)
        mining = HardNegativeMining(regions.positives(self.classes), dump.read, dump.width)
        blocks, record = regions.blocks(BLOCK), self.folder / "svms.progress"
        done, saved = 0, float("-inf")
        if record.exists():
            state = self.files.load_checkpoint(record)
            done = state.pop("done")
            mining.load_state_dict(state)
        total = self.passes * len(blocks)
        for step in tqdm(range(done, total), "SVMs", total, initial=done, unit="block", delay=2):
            first, end = blocks[step % len(blocks)]
            rows = torch.arange(int(regions.offsets[first]), int(regions.offsets[end]))
            mining.show(rows, dump.read(rows), regions.negatives(first, end, self.classes))
            if end == len(regions.offsets) - 1:  # of the last block of a pass
                mining.finish()
                if not mining.added:
                    break
                mining.added = 0
            if time.monotonic() - saved > SAVE_EVERY:
                self.files.save_checkpoint({"done": step + 1, **mining.state_dict()}, record)
                saved = time.monotonic()
        missing = torch.tensor([len(rows) == 0 for rows in mining.positives])
        bias = mining.biases.masked_fill(missing, float("-inf"))
        return {"weight": (mining.weights * dump.scale).float(), "bias": bias.float()}

    def _take_svms(self, weight: Tensor, bias: Tensor) -> None:
        names = [name for name, value in zip(self.data.class_names, bias.tolist(), strict=True) if value == -torch.inf]
        if names:
            rank_zero_warn(
                f"{len(names)} of {self.classes} classes have no object in the training images, so no SVM, and will "
                f"never be found: {', '.join(names)}."
            )
        self.classifiers.set_svms(weight, bias)
        (self.folder / "svms.progress").unlink(missing_ok=True)

    def _train_boxes(self, regions: RegionRows, dump: FeatureDump) -> Result:
        pairs = regions.pairs()
        self._fill(dump, regions, pairs.rows, self.network.box_features)
        weight = torch.zeros(self.classes, 4, dump.width)
        bias = torch.zeros(self.classes, 4)
        for index in tqdm(range(self.classes), desc="Box regressors", unit="class", delay=2):
            own = (pairs.classes == index).nonzero()[:, 0]
            if len(own):
                parts = (dump.read(part) for part in torch.split(own, CHUNK))
                solution, constant = solve_ridge(parts, pairs.deltas[own], dump.width, PENALTY)
                weight[index], bias[index] = solution * dump.scale, constant
        return {"weight": weight, "bias": bias}

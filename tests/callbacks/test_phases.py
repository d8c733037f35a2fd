import os
import pickle
import socket
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor

from datamodules import Shapes, VOCLocalizationDataModule
from lit_cv.callbacks import TrainingPhases
from lit_cv.callbacks.freezing import refuse_strategy
from lit_cv.errors import UserError
from lit_cv.models import LocalizationNet
from lit_cv.runs.checkpoints import AtomicCheckpointIO
from lit_cv.tasks import LocalizationTask, WarmupMultiStepLR
from lit_cv.training.checkpoints import LastCheckpoint

pytestmark = pytest.mark.usefixtures("_deterministic")

HEADS_AT, JOINT_AT, STEPS = 2, 4, 7
State = dict[str, Tensor]
NOTHING_ELSE = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}


def data(root: Path, batch_size: int = 3) -> VOCLocalizationDataModule:
    settings = Shapes(train=16, val=3, size=64, seed=1)
    return VOCLocalizationDataModule(str(root), "shapes", batch_size=batch_size, shapes=settings)


def task(**options: object) -> LocalizationTask:
    torch.manual_seed(0)
    defaults = {"backbone": "mobilenet_v3_small", "size": 64, "pool": 2, "head_features": [16], "norm": "train"}
    return LocalizationTask(
        LocalizationNet(3, **{**defaults, **options}),  # type: ignore[arg-type]
        optimizer=lambda params: torch.optim.AdamW(params, lr=1e-2, weight_decay=0.5),
        scheduler=lambda optimizer: WarmupMultiStepLR(optimizer, 0),
    )


def trainer(*callbacks: L.Callback, **options: Any) -> L.Trainer:
    quiet = {**NOTHING_ELSE, "enable_model_summary": False, "num_sanity_val_steps": 1, "use_distributed_sampler": False}
    defaults = {"accelerator": "cpu", "devices": 1, "deterministic": True, "max_steps": STEPS}
    return L.Trainer(callbacks=list(callbacks), plugins=[AtomicCheckpointIO()], **{**quiet, **defaults, **options})


class Moves(L.Callback):
    """Record the parameters and buffers of the network that each step changes."""

    def __init__(self) -> None:
        self.moved: list[set[str]] = []
        self.before: State = {}

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.before = {name: value.clone() for name, value in pl_module.network.state_dict().items()}

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        state = pl_module.network.state_dict()
        self.moved.append({name for name, value in state.items() if not torch.equal(value, self.before[name])})


@pytest.mark.slow
def test_each_phase_changes_only_its_own_parts(shapes: Path) -> None:
    module, moves = task(trainable_layers=2), Moves()
    never = {name for name, parameter in module.network.named_parameters() if not parameter.requires_grad}
    modes = {name: part.training for name, part in module.network.named_modules()}
    # a validation after every second step: its end must not unfreeze anything
    trainer(moves, TrainingPhases(HEADS_AT, JOINT_AT), val_check_interval=2).fit(module, data(shapes))
    parts = {name: {key for key in module.network.state_dict() if key.startswith(name)} for name in modes}
    heads = parts["class_head"] | parts["box_head"]
    assert moves.moved[:HEADS_AT] == [parts["class_head"]] * HEADS_AT
    assert moves.moved[HEADS_AT:JOINT_AT] == [heads] * (JOINT_AT - HEADS_AT)
    assert never
    assert any(".running_mean" in name for name in parts["backbone"])
    for moved in moves.moved[JOINT_AT:]:
        assert moved == heads | parts["backbone"] - never
    assert {name for name, parameter in module.network.named_parameters() if not parameter.requires_grad} == never
    assert {name: part.training for name, part in module.network.named_modules()} == modes


def test_a_layer_in_eval_mode_stays_in_it_and_the_network_is_restored_after_a_short_run(shapes: Path) -> None:
    module = task(backbone="tiny", pool=1)
    kept = module.network.backbone[0].eval()
    seen = []

    class Look(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
            parts = (kept, module.network.backbone, module.network.box_head, module.network.class_head)
            seen.append(tuple(part.training for part in parts))

    trainer(TrainingPhases(1, 2), Look(), max_steps=3).fit(module, data(shapes))
    assert seen == [(False, False, False, True), (False, False, True, True), (False, True, True, True)]
    trainer(TrainingPhases(5, 9), max_steps=1).fit(module, data(shapes))
    assert all(parameter.requires_grad for parameter in module.network.parameters())
    assert module.network.backbone.training
    assert not kept.training


class Kill(L.Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_before_optimizer_step(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 3, 6])
def test_a_run_killed_in_a_phase_continues_and_ends_bit_identical(shapes: Path, tmp_path: Path, step: int) -> None:
    calm = task()
    trainer(TrainingPhases(HEADS_AT, JOINT_AT), limit_val_batches=0).fit(calm, data(shapes))
    with pytest.raises(SystemExit):
        trainer(TrainingPhases(HEADS_AT, JOINT_AT), LastCheckpoint(tmp_path, 1), Kill(step), limit_val_batches=0).fit(
            task(), data(shapes)
        )
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["global_step"] in (step, step - 1)  # an epoch of five steps ends without a checkpoint
    resumed, moves = task(), Moves()
    again = trainer(moves, TrainingPhases(HEADS_AT, JOINT_AT), limit_val_batches=0)
    again.fit(resumed, data(shapes), ckpt_path=tmp_path / "last.ckpt")
    assert again.global_step == STEPS
    assert len(moves.moved) == STEPS - saved["global_step"]
    expected = calm.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in resumed.state_dict().items())


def test_unusable_settings_are_refused(shapes: Path) -> None:
    for steps in ((3, 2), (-1, 2)):
        with pytest.raises(UserError, match="0 <= heads_at <= joint_at"):
            TrainingPhases(*steps)
    module = task(backbone="tiny", pool=1)
    del module.network.box_head
    with pytest.raises(UserError, match="LocalizationNet has no box_head; remove the callback"):
        trainer(TrainingPhases(1, 2), num_sanity_val_steps=0).fit(module, data(shapes))


def test_divided_parameters_are_refused() -> None:
    with pytest.raises(UserError, match=r"set trainer\.strategy to ddp_find_unused_parameters_true"):
        refuse_strategy(TrainingPhases(1, 2), L.Trainer(accelerator="cpu", strategy="fsdp2", logger=False))


def work(rank: int, root: str, folder: str, port: int) -> None:
    torch.set_num_threads(1)  # a forked process does not have the other threads
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    os.environ |= {"MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo", "PL_GLOBAL_SEED": "3"}
    options = {"devices": 2, "limit_val_batches": 0}
    refused = "no"
    try:
        trainer(TrainingPhases(HEADS_AT, JOINT_AT), strategy="ddp", **options).fit(_plain(), data(Path(root), 4))
    except UserError as error:
        refused = str(error)
    module, moves = _plain(), Moves()
    fit = trainer(moves, TrainingPhases(1, 2), strategy="ddp_find_unused_parameters_true", max_steps=3, **options)
    fit.fit(module, data(Path(root), 4))
    Path(folder, f"{rank}.pickle").write_bytes(pickle.dumps((refused, moves.moved, module.network.state_dict())))


def _plain() -> LocalizationTask:
    """Return a task with plain SGD, without batch norm, and without dropout, which depends on the process."""
    module = task(backbone="tiny", pool=1, dropout=0.0)
    module.optimizer = lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.01)
    return module


@pytest.mark.slow
def test_two_processes_train_as_one_and_plain_ddp_is_refused(shapes: Path, tmp_path: Path) -> None:
    alone, moves = _plain(), Moves()
    trainer(moves, TrainingPhases(1, 2), max_steps=3, limit_val_batches=0).fit(alone, data(shapes, 4))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # forked, so that nothing is imported a second time
    mp.start_processes(work, args=(str(shapes), str(tmp_path), port), nprocs=2, start_method="fork")
    results = [pickle.loads((tmp_path / f"{rank}.pickle").read_bytes()) for rank in range(2)]
    for refused, moved, state in results:
        assert "set trainer.strategy to ddp_find_unused_parameters_true" in refused
        assert moved == moves.moved
        assert len(moved) == 3
        for name, value in alone.network.state_dict().items():
            assert torch.equal(state[name], results[0][2][name])
            torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-5)

import os
import subprocess

import pytest
import torch

from lit_cv.errors import UserError
from lit_cv.runs.checkpoints import AtomicCheckpointIO
from lit_cv.runs.files import explain_full_disk
from lit_cv.training.checkpoints import BestCheckpoint


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk requires root")
def test_full_disk_gives_one_sentence_and_keeps_the_previous_checkpoint(tmp_path):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", tmp_path], check=True)
    try:
        AtomicCheckpointIO().save_checkpoint({"step": 1}, tmp_path / "last.ckpt")
        with pytest.raises(UserError, match=f"{tmp_path}: the disk is full; free some"), explain_full_disk(tmp_path):
            AtomicCheckpointIO().save_checkpoint({"weights": torch.zeros(100_000)}, tmp_path / "last.ckpt")
        assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]
        assert AtomicCheckpointIO().load_checkpoint(tmp_path / "last.ckpt") == {"step": 1}
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_other_errors_are_unchanged():
    with pytest.raises(ValueError, match="other"), explain_full_disk("nowhere"):
        raise ValueError("other")


def test_best_score_survives_a_move_of_the_folder(tmp_path):
    before, after = (BestCheckpoint(tmp_path / name, "val/map", "max") for name in ("before", "after"))
    path, score = f"{before.dirpath}/best.ckpt", torch.tensor(0.75)
    before.best_model_score, before.best_model_path, before.kth_best_model_path = score, path, path
    before.kth_value, before.best_k_models = score, {path: score}
    after.load_state_dict(before.state_dict())
    moved = f"{after.dirpath}/best.ckpt"
    assert (after.best_model_score, after.best_model_path, after.best_k_models) == (score, moved, {moved: score})
    assert not after.check_monitor_top_k(trainer_of_one_process(), torch.tensor(0.5))


def trainer_of_one_process():
    import lightning as L

    return L.Trainer(accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, barebones=True)

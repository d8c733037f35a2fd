import copy
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from datamodules import Shapes, VOCDetectionDataModule
from lit_cv.callbacks import AlternatingTraining
from lit_cv.errors import UserError
from lit_cv.models import SSD, FasterRCNN
from lit_cv.models.images import batch_objects, size_of
from lit_cv.runs.checkpoints import AtomicCheckpointIO
from lit_cv.tasks import DetectionTask, RestartingStepLR
from lit_cv.training.checkpoints import LastCheckpoint

pytestmark = pytest.mark.usefixtures("_deterministic")

STEPS = [2, 1, 2, 2]
ENDS = [2, 3, 5, 7]
State = dict[str, Tensor]
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


def data(root: Path) -> VOCDetectionDataModule:
    settings = Shapes(train=20, val=2, size=64, seed=1)
    names = {"train_sets": ["2012_train"], "val_sets": ["2012_val"]}
    return VOCDetectionDataModule(str(root), source="shapes", batch_size=2, num_workers=0, shapes=settings, **names)


def network(**options: object) -> FasterRCNN:
    counts = {f"rpn_{when}_nms_{mode}": 30 for when in ("pre", "post") for mode in ("train", "test")}
    sizes = {"min_size": 64, "max_size": 64, "anchor_scales": [16.0, 32.0], "head_features": 16, "roi_batch": 16}
    return FasterRCNN(4, neck="c4", **{"backbone": "tiny", **sizes, **counts, **options})  # type: ignore[arg-type]


def task(**options: object) -> DetectionTask:
    torch.manual_seed(0)
    return DetectionTask(
        network(**options),
        optimizer=lambda params: torch.optim.AdamW(params, lr=1e-2, weight_decay=0.1),
        scheduler=lambda optimizer: RestartingStepLR(optimizer, STEPS),
    )


def trainer(*callbacks: L.Callback, **options: Any) -> L.Trainer:
    defaults = {"accelerator": "cpu", "devices": 1, "deterministic": True, "max_steps": ENDS[-1]}
    still = {"num_sanity_val_steps": 0, "limit_val_batches": 0, "use_distributed_sampler": False}
    return L.Trainer(
        callbacks=list(callbacks), plugins=[AtomicCheckpointIO()], **{**QUIET, **defaults, **still, **options}
    )


class Watch(L.Callback):
    """Record the network before each step and after its start, and the values that each step changes."""

    def __init__(self) -> None:
        self.before: list[State] = []
        self.moved: list[set[str]] = []
        self.proposers: list[State | None] = []
        self.updates: list[dict[str, int]] = []

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        model = pl_module.network
        self.before.append(copy.deepcopy(model.state_dict()))
        self.proposers.append(model.proposer and copy.deepcopy(model.proposer[0].state_dict()))

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        state = pl_module.network.state_dict()
        self.moved.append({name for name, value in state.items() if not torch.equal(value, self.before[-1][name])})
        names = {parameter: name for name, parameter in pl_module.network.named_parameters()}
        updates = trainer.optimizers[0].state.items()
        self.updates.append({names[parameter]: int(value["step"]) for parameter, value in updates})


def part(state: State, name: str) -> State:
    """Return the tensors of one part of a network by their names in the part."""
    return {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}


def same(first: State, second: State) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[key]) for key, value in first.items())


@pytest.fixture(scope="module", params=["tiny", "resnet18"])
def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ...]:
    """Return the first weights, the trained module and the records, for a resnet18 with trained batch norms."""
    module, watch = task(backbone=request.param, norm="train", trainable_layers=2), Watch()
    first = copy.deepcopy(module.network.state_dict())
    # a validation after every second step: its end must not unfreeze anything
    fit = trainer(AlternatingTraining(STEPS), watch, limit_val_batches=1, val_check_interval=2)
    fit.fit(module, data(tmp_path_factory.mktemp("shapes")))
    torch.use_deterministic_algorithms(False)
    return first, module, watch


@pytest.mark.slow
def test_each_step_changes_only_its_own_parts(watched: tuple[Any, ...]) -> None:
    first, module, watch = watched
    never = {name for name, parameter in module.network.named_parameters() if not parameter.requires_grad}
    keys = {name: {key for key in first if key.startswith(name)} for name in ("backbone", "rpn", "roi_heads")}
    backbone = keys["backbone"] - never
    assert never
    assert never < keys["backbone"]
    expected = [backbone | keys["rpn"], backbone | keys["roi_heads"], keys["rpn"], keys["roi_heads"]]
    assert watch.moved == [moved for moved, count in zip(expected, STEPS, strict=True) for _ in range(count)]
    assert (module.network.trained, module.network.proposer) == ("both", None)
    assert all(layer.training for layer in module.network.modules())


@pytest.mark.slow
def test_each_step_starts_from_the_right_weights(watched: tuple[Any, ...]) -> None:
    first, _, watch = watched
    second, third, fourth = (watch.before[end] for end in ENDS[:-1])
    trained = part(watch.before[ENDS[0]], "rpn")  # the proposal network after step 1
    assert not same(trained, part(first, "rpn"))
    assert same(part(second, "backbone"), part(first, "backbone"))
    assert same(part(second, "roi_heads"), part(first, "roi_heads"))
    assert not same(part(third, "backbone"), part(first, "backbone"))
    assert same(part(third, "rpn"), part(first, "rpn"))
    assert same(part(fourth, "backbone"), part(third, "backbone"))
    assert same(part(fourth, "roi_heads"), part(third, "roi_heads"))
    proposers = [proposer is not None for proposer in watch.proposers]
    assert proposers == [ENDS[0] <= step < ENDS[1] for step in range(ENDS[-1])]
    assert not same(watch.proposers[ENDS[0]], part(first, "backbone"))
    for end in (0, *ENDS[:-1]):  # the optimizer is empty: each first update is the first one of its parameter
        assert set(watch.updates[end].values()) == {1}


def test_the_proposer_is_the_backbone_of_the_end_of_the_first_step(shapes: Path) -> None:
    watch, alone = Watch(), task()
    trainer(AlternatingTraining([2, 1, 1, 1]), watch, max_steps=5).fit(task(), data(shapes))
    trainer(AlternatingTraining([2, 1, 1, 1]), Stop(2), max_steps=5).fit(alone, data(shapes))
    assert same(watch.proposers[2], alone.network.backbone.state_dict())
    assert same(part(watch.before[2], "rpn"), alone.network.rpn.state_dict())


class Stop(L.Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.global_step == self.step


def scene(seed: int = 0) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    generator = torch.Generator().manual_seed(seed)
    images = [torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8, generator=generator) for _ in range(2)]
    boxes = torch.tensor([[8.0, 8.0, 40.0, 40.0], [20.0, 4.0, 60.0, 30.0]])
    return images, [
        {"boxes": boxes, "labels": torch.tensor([1, 3])},
        {"boxes": boxes[:0], "labels": boxes[:0, 0].long()},
    ]


@pytest.mark.parametrize("trained", ["proposals", "regions"])
def test_losses_of_the_trained_part_are_unchanged_and_the_others_zero(trained: Any) -> None:
    torch.manual_seed(0)
    model = network()
    names = model.loss_names[:2] if trained == "proposals" else model.loss_names[2:]
    torch.manual_seed(1)
    both = model.losses(*scene())
    model.trained = trained
    torch.manual_seed(1)
    if trained == "regions":  # random numbers that the other part took
        model.rpn.losses(*_of_rpn(model))
    found = model.losses(*scene())
    assert tuple(found) == model.loss_names
    for name, loss in found.items():
        assert torch.equal(loss, both[name] if name in names else torch.zeros(()))
    assert all(both[name] > 0 for name in model.loss_names)


def _of_rpn(model: FasterRCNN) -> tuple[Any, Any]:
    images, targets = scene()
    batch = model.batch(images)
    objects = batch_objects(targets, batch, model.num_classes)
    return model.rpn(size_of(batch.pixels), list(model.backbone(batch.pixels).values())), objects


def test_regions_come_from_the_proposer_and_are_pooled_on_the_own_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    ours, other = network(), network()
    other.rpn.load_state_dict(ours.rpn.state_dict())
    seen: list[tuple[list[Tensor], Tensor]] = []
    for model in (ours, other):
        sample, pool = model.roi_heads.sample, model.roi_heads.pool

        def watch_sample(proposals: Any, objects: Any, sample: Any = sample) -> Any:
            seen.append((proposals, None))
            return sample(proposals, objects)

        def watch_pool(maps: Any, strides: Any, rois: Any, pool: Any = pool) -> Any:
            seen[-1] = (seen[-1][0], maps[0])
            return pool(maps, strides, rois)

        monkeypatch.setattr(model.roi_heads, "sample", watch_sample)
        monkeypatch.setattr(model.roi_heads, "pool", watch_pool)
    ours.losses(*scene())
    other.losses(*scene())
    ours.trained, ours.proposer = "regions", (other.backbone,)
    ours.losses(*scene())
    (own, own_map), (foreign, foreign_map), (found, found_map) = seen
    assert all(torch.equal(first, second) for first, second in zip(found, foreign, strict=True))
    assert not torch.equal(found[0][:5], own[0][:5])
    assert torch.equal(found_map, own_map)
    assert not torch.equal(found_map, foreign_map)


class Kill(L.Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_before_optimizer_step(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, State]:
    """Return the data and the final weights of an uninterrupted run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", "3")
        module, root = task(), tmp_path_factory.mktemp("shapes")
        trainer(AlternatingTraining(STEPS)).fit(module, data(root))
        torch.use_deterministic_algorithms(False)
    return root, module.network.state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("step", range(1, ENDS[-1]))
def test_a_run_killed_in_a_step_continues_and_ends_bit_identical(calm: Any, tmp_path: Path, step: int) -> None:
    root, expected = calm
    with pytest.raises(SystemExit):
        trainer(AlternatingTraining(STEPS), LastCheckpoint(tmp_path, 1), Kill(step)).fit(task(), data(root))
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert saved["global_step"] == step
    resumed, watch = task(), Watch()
    torch.nn.init.normal_(next(resumed.network.backbone.parameters()))  # the checkpoint has the first weights
    again = trainer(AlternatingTraining(STEPS), watch)
    again.fit(resumed, data(root), ckpt_path=tmp_path / "last.ckpt")
    assert len(watch.moved) == ENDS[-1] - step
    assert same(resumed.network.state_dict(), expected)


@pytest.mark.slow
def test_a_checkpoint_holds_the_weights_of_later_steps(calm: Any, tmp_path: Path) -> None:
    root, _ = calm
    carried = {}
    for step in (1, 3, 5, 6):
        folder = tmp_path / str(step)
        with pytest.raises(SystemExit):
            trainer(AlternatingTraining(STEPS), LastCheckpoint(folder, 1), Kill(step)).fit(task(), data(root))
        saved = torch.load(folder / "last.ckpt", weights_only=True)
        assert saved["state_dict"].keys() == task().state_dict().keys()
        state = saved["callbacks"]["AlternatingTraining"]
        carried[step] = (state["step"], set(state["first"]), bool(state["proposer"]))
    assert carried == {
        1: (0, {"backbone", "rpn"}, False),
        3: (1, {"rpn"}, True),
        5: (2, set(), False),
        6: (3, set(), False),
    }


def test_steps_begin_at_the_sums_of_their_lengths() -> None:
    callback = AlternatingTraining([3, 1, 2, 4])
    assert [callback.step_of(step) for step in range(12)] == [0, 0, 0, 1, 2, 2, 3, 3, 3, 3, 3, 3]


def test_the_rate_drops_and_starts_again() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = RestartingStepLR(optimizer, [4, 3], drop_at=0.75, gamma=0.1)
    rates = []
    for _ in range(8):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([1, 1, 1, 0.1, 1, 1, 0.1, 0.1])


def test_unusable_settings_are_refused(shapes: Path, tmp_path: Path) -> None:
    for steps in ([1, 2, 3], [1, 0, 1, 1]):
        with pytest.raises(UserError, match="needs four numbers of steps, each at least 1"):
            AlternatingTraining(steps)
    with pytest.raises(UserError, match="takes 7 steps, but the training ends after 6"):
        trainer(AlternatingTraining(STEPS), max_steps=6).fit(task(), data(shapes))
    with pytest.raises(UserError, match="trains a FasterRCNN or an RFCN, not SSD"):
        trainer(AlternatingTraining(STEPS)).fit(DetectionTask(SSD(4, backbone="tiny", size=64)), data(shapes))
    joint = trainer(LastCheckpoint(tmp_path, 1), max_steps=1)
    joint.fit(task(), data(shapes))
    with pytest.raises(UserError, match="written without AlternatingTraining"):
        trainer(AlternatingTraining(STEPS)).fit(task(), data(shapes), ckpt_path=tmp_path / "last.ckpt")

"""Weights of a whole network as the start: kinds of files, classes by name, refusals. The oracle is torchvision."""

import argparse
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn
from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor
from torchvision.models.detection.retinanet import RetinaNet as PeerRetinaNet
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from datamodules.coco.files import CATEGORIES
from datamodules.voc.lists import CLASS_NAMES
from lit_cv.errors import UserError
from lit_cv.models import FCN, SSD, YOLO, FasterRCNN, FastRCNN, LocalizationNet, Network, RetinaNet, published
from lit_cv.runs.sameness import essence
from lit_cv.tasks.initial_weights.initial import InitialWeights
from lit_cv.tasks.initial_weights.matching import load_source
from lit_cv.tasks.initial_weights.sources import Source
from tests.helpers.scenes import assert_detections_of_peer, randomize, scene

THREE, OTHERS = ["cat", "dog", "bird"], ["bird", "Traffic_Light", "cat", "tree"]
Build = Callable[[int], Network]


def faster(classes: int, **options: object) -> FasterRCNN:
    return FasterRCNN(classes, backbone="tiny", head_features=16, min_size=64, **options)


def loaded(network: Network, value: str, names: list[str]) -> dict:
    initial = InitialWeights(value)
    initial.load_into(network, names, network.num_classes)
    assert initial.record is not None
    return initial.record


@pytest.fixture(scope="module")
def tiny() -> dict[str, Tensor]:
    network = faster(4)
    randomize(network)
    return network.state_dict()


def of_lightning(state: dict[str, Tensor]) -> dict:
    return {"state_dict": {f"network.{name}": value for name, value in state.items()} | {"mean.x": torch.ones(1)}}


KINDS: dict[str, Callable[[dict[str, Tensor]], object]] = {
    "state dict": lambda state: state,
    "of DDP": lambda state: {f"module.{name}": value for name, value in state.items()},
    "of a compiled network": lambda state: {f"_orig_mod.{name}": value for name, value in state.items()},
    "of torchvision's training script": lambda state: {"model": state, "epoch": 3, "args": argparse.Namespace(lr=1)},
    "checkpoint": lambda state: of_lightning(state) | {"class_names": THREE},
    "half precision": lambda state: {name: value.half() for name, value in state.items()},
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_files(tmp_path: Path, tiny: dict[str, Tensor], kind: str) -> None:
    torch.save(KINDS[kind](tiny), tmp_path / "weights.pt")
    network = faster(4)
    record = loaded(network, str(tmp_path / "weights.pt"), THREE)
    assert record["share"] == 1
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, tiny[name], rtol=1e-3 if kind == "half precision" else 0, atol=1e-3)


def test_safetensors(tmp_path: Path, tiny: dict[str, Tensor]) -> None:
    pytest.importorskip("safetensors.torch").save_file(tiny, tmp_path / "weights.safetensors")
    assert loaded(faster(4), str(tmp_path / "weights.safetensors"), THREE)["share"] == 1


@pytest.mark.parametrize(
    ("build", "layers", "last", "background"),
    [
        (faster, ("roi_heads.box_predictor.cls_score.bias", "roi_heads.box_predictor.bbox_pred.weight"), False, 1),
        (lambda n: RetinaNet(n, backbone="tiny", channels=8), ("head.classification_head.cls_logits.weight",), True, 1),
        (lambda n: SSD(n, backbone="tiny", size=64), ("head.classification_head.module_list.0.bias",), True, 1),
        (lambda n: FCN(n, backbone="tiny"), ("classifier.0.weight", "classifier.0.bias"), False, 1),
        (
            lambda n: LocalizationNet(n, backbone="tiny", size=64, pool=2, head_features=[8]),
            ("class_head.4.weight", "box_head.4.bias"),
            False,
            0,
        ),
    ],
)
def test_classes_are_copied_by_name(build: Build, layers: tuple[str, ...], last: bool, background: int) -> None:
    before, after = build(len(THREE) + background), build(len(OTHERS) + background)
    randomize(before)
    start = {name: value.clone() for name, value in after.state_dict().items()}
    known, wanted = ([published.BACKGROUND] * background + names for names in (THREE, OTHERS))
    result = load_source(after, wanted, Source("file", before.state_dict(), known))
    assert result.classes == ["bird", "cat"]
    assert {name.rpartition(".")[0] for name in result.fresh} >= {name.rpartition(".")[0] for name in layers}
    for layer in layers:

        def of(state: dict[str, Tensor], names: list[str], layer: str = layer) -> dict[str, Tensor]:
            rows = state[layer]
            shape = (-1, len(names)) if last else (len(names), -1)
            parts = rows.view(*shape, *rows.shape[1:])
            return dict(zip(names, parts.unbind(1 if last else 0), strict=True))

        own, theirs, first = of(after.state_dict(), wanted), of(before.state_dict(), known), of(start, wanted)
        for name in wanted:
            assert torch.equal(own[name], theirs[name] if name in known else first[name]), (layer, name)


def test_the_same_classes_in_another_order_and_in_other_letters() -> None:
    before, after = faster(4), faster(4)
    randomize(before)
    source = Source("file", before.state_dict(), [published.BACKGROUND, "Dog", "traffic light", "cat"])
    result = load_source(after, [published.BACKGROUND, "cat", "dog", "traffic_light"], source)
    assert (result.share, result.fresh, result.classes) == (1, [], ["cat", "dog", "traffic_light"])
    bias = "roi_heads.box_predictor.cls_score.bias"
    assert torch.equal(after.state_dict()[bias], before.state_dict()[bias][[0, 3, 1, 2]])


@pytest.mark.parametrize("classes", [CLASS_NAMES, tuple(CATEGORIES.values())])
def test_all_classes_of_voc_and_coco_are_among_torchvisions(classes: tuple[str, ...]) -> None:
    theirs, after = published.classes_of("ssd300_vgg16"), faster(len(classes) + 1)
    result = load_source(after, [published.BACKGROUND, *classes], Source("file", faster(91).state_dict(), theirs))
    assert (result.classes, result.fresh) == (list(classes), [])


def test_names_that_differ_in_spaces_alone_are_not_mixed_up() -> None:
    before, after = faster(4), faster(4)
    randomize(before)
    source = Source("file", before.state_dict(), [published.BACKGROUND, "a b", "ab", "c"])
    result = load_source(after, [published.BACKGROUND, "ab", "C", "a b"], source)
    assert result.classes == ["ab", "a b"]
    bias = "roi_heads.box_predictor.cls_score.bias"
    assert torch.equal(after.state_dict()[bias][[0, 1, 3]], before.state_dict()[bias][[0, 2, 1]])


def test_class_layers_stay_new_without_a_common_class_or_without_names() -> None:
    before = faster(4)
    randomize(before)
    for labels in (None, [published.BACKGROUND, "x", "y", "z"]):
        after = faster(5)
        result = load_source(after, [published.BACKGROUND, *OTHERS], Source("file", before.state_dict(), labels))
        assert {name.rpartition(".")[0].rpartition(".")[2] for name in result.fresh} == {"cls_score", "bbox_pred"}
    yolo = [YOLO(n, backbone="tiny", size=64, grid=4, neck_channels=[8], hidden=8) for n in (4, 5)]
    result = load_source(yolo[1], [published.BACKGROUND, *OTHERS], Source("file", yolo[0].state_dict(), None))
    assert [name.rpartition(".")[0] for name in result.fresh[:1]] == ["head.layers.4"]


def test_other_networks_share_what_they_have() -> None:
    detector, fast, segmenter = (
        faster(4, neck="c4"),
        FastRCNN(4, backbone="tiny", head_features=16),
        FCN(4, backbone="tiny"),
    )
    randomize(segmenter)
    labels = [published.BACKGROUND, *THREE]
    result = load_source(fast, labels, Source("file", detector.state_dict(), labels))
    assert result.unused == ["rpn"]
    assert not any(name.startswith("backbone") for name in result.fresh)
    result = load_source(detector, labels, Source("file", segmenter.state_dict(), labels))
    assert not any(name.startswith("backbone") for name in result.fresh)


EARLIER = (  # names in torchvision's published files
    (r"^(rpn\.head\.conv)\.0\.0\.", r"\1."),
    (r"(fpn\.(?:inner|layer)_blocks\.\d)\.0\.", r"\1."),
    (r"^(head\.\w+_head\.conv)\.(\d)\.0\.", lambda match: f"{match[1]}.{2 * int(match[2])}."),
)


def in_hub(name: str, theirs: nn.Module) -> None:
    """Put weights where torch.hub looks for those that torchvision publishes, under the names of earlier days."""
    randomize(theirs)
    state = theirs.state_dict()
    for pattern, new in EARLIER:
        state = {re.sub(pattern, new, key): value for key, value in state.items()}
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    folder.mkdir(exist_ok=True)
    torch.save(state, folder / published.file_name_of(name))


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Path]:
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(tmp_path))
    yield tmp_path
    torch.hub.set_dir(before)


def test_published_mobilenet(hub: Path) -> None:
    name, scales = "fasterrcnn_mobilenet_v3_large_320_fpn", [[32, 64, 128, 256, 512]] * 3
    few_boxes = {"box_score_thresh": 0.0, "box_detections_per_img": 20}
    theirs = fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, min_size=64, max_size=96, **few_boxes
    )
    in_hub(name, theirs)
    counts = {"rpn_pre_nms_test": 150, "rpn_post_nms_test": 150, "detections_per_image": 20}
    thresholds = {"rpn_score_threshold": 0.05, "score_threshold": 0.0}
    sizes = {"min_size": 64, "max_size": 96, "anchor_scales": scales}
    ours = FasterRCNN(91, backbone="mobilenet_v3_large", **sizes, **counts, **thresholds)
    record = loaded(ours, f"torchvision:{name}", published.classes_of(name)[1:])
    assert (record["share"], record["unused"], record["classes"]) == (1, [], None)
    assert_detections_of_peer(ours, theirs)
    few = FasterRCNN(4, backbone="mobilenet_v3_large", anchor_scales=scales)
    file = hub / "checkpoints" / published.file_name_of(name)
    for value in (f"torchvision:{name}", str(file), str(shutil.copy(file, hub / "other.pth"))):
        assert loaded(few, value, ["cat", "kiwi", "person"])["classes"] == ["cat", "person"]
        bias = few.roi_heads.box_predictor.cls_score.bias
        assert torch.equal(bias[[0, 1, 3]], theirs.roi_heads.box_predictor.cls_score.bias[[0, 17, 1]])


def test_published_retinanet_has_no_constant_in_its_frozen_norms(hub: Path) -> None:
    stages = {"returned_layers": [2, 3, 4], "extra_blocks": LastLevelP6P7(256, 256)}
    theirs = PeerRetinaNet(_resnet_fpn_extractor(resnet18(), 5, **stages), 4, min_size=64, max_size=96)
    in_hub("retinanet_resnet50_fpn", theirs)
    for norm in theirs.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eps = 0.0  # as torchvision does when it loads the published weights
    ours = RetinaNet(4, backbone="resnet18", min_size=64, max_size=96)
    assert loaded(ours, "torchvision:retinanet_resnet50_fpn", [])["share"] == 1
    images, _ = scene([0], [(64, 96)])
    pixels = ours.batch(images).pixels
    with torch.no_grad():
        wanted = theirs.eval().head(list(theirs.backbone(pixels).values()))
        for found, name in zip(ours.eval()(pixels)[:2], ("cls_logits", "bbox_regression"), strict=True):
            torch.testing.assert_close(found, wanted[name], rtol=1e-4, atol=1e-4)


def make_run(folder: Path, state: object | None, finished: bool = True) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.yaml").write_text("")
    if state is not None:
        torch.save(state, folder / "checkpoints" / "last.ckpt")
    if finished:
        (folder / "result.json").write_text("{}")
    return folder


def test_refusals(tmp_path: Path, tiny: dict[str, Tensor]) -> None:
    ok = of_lightning(tiny) | {"class_names": THREE}
    (tmp_path / "text.pth").write_text("no weights")
    torch.save(nn.Linear(1, 1), tmp_path / "code.pth")
    torch.save({"a": 1}, tmp_path / "numbers.pth")
    torch.save(FasterRCNN(4, backbone="tiny_vgg", head_features=16).state_dict(), tmp_path / "other.pth")
    make_run(tmp_path / "unfinished", ok, finished=False)
    make_run(tmp_path / "empty", None)
    for value, said in {
        "missing.pth": "there is no file",
        "text.pth": "cannot be read as weights without running code",
        "code.pth": "cannot be read as weights without running code",
        "numbers.pth": "holds no state dict",
        "other.pth": r"has \d+% of the backbone of FasterRCNN, too little",
        "run:nothing": "there is no such folder",
        "run:unfinished": "is not finished",
        "run:empty": "has no checkpoint",
        "torchvision:fasterrcnn_resnet50_fpm": "did you mean fasterrcnn_resnet50_fpn",
        "torchvision:fasterrcnn_resnet50_fpn_v2": "has no counterpart here",
    }.items():
        kind, colon, name = value.rpartition(":")
        where = value if kind == "torchvision" else f"{kind}{colon}{tmp_path / name}"
        with pytest.raises(UserError, match=said):
            loaded(faster(4), where, THREE)


def test_identity_is_the_content_of_the_file(tmp_path: Path, tiny: dict[str, Tensor]) -> None:
    run = make_run(tmp_path / "run", of_lightning(tiny) | {"class_names": THREE})
    last = run / "checkpoints" / "last.ckpt"
    copy = shutil.copy(last, tmp_path / "copy.pth")
    torch.save(tiny, tmp_path / "other.pth")
    values = [f"run:{run}", str(run), str(last), str(copy)]
    digests = [essence({"model.initial_weights": value}) for value in (*values, str(tmp_path / "other.pth"), None)]
    assert len(set(digests[:4])) == 1
    assert len(set(digests)) == 3

"""Parse every YAML file of the project with the real parser and run one real step on generated data."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.errors import UserError
from lit_cv.runs.settings import split_arguments
from lit_cv.training.experiment import _parser, parsed
from lit_cv.training.lightning_cli import LitCLI
from lit_cv.training.preflight import check_trials
from tests.helpers.check_yaml import check
from tests.helpers.check_yaml import main as check_files

ROOT = Path(__file__).parents[1]
EXPERIMENTS = sorted(ROOT.glob("experiments/*/*.yaml"))
SWEEPS = sorted(ROOT.glob("sweeps/*.yaml"))
LECTURE = sorted(ROOT.glob("sweeps/lecture/*.yaml"))
MANY_ARMS = {
    "speed_accuracy",
    "base_networks",
}  # of the lecture; experiments that other sweeps do not use are their arms
OF_MANY = re.compile(r"speed_accuracy/(yolo|fcos|rfcn)_\d+|speed_accuracy/\w+_64(_50)?|lecture/\w+")


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shapes")


SIZES = {  # size of the network that follows from the generated data
    ("DetectionTask", "VOCDetectionDataModule"): 4,
    ("ProposalTask", "VOCDetectionDataModule"): 4,
    ("ProposalTask", "COCODetectionDataModule"): 5,
    ("SegmentationTask", "VOCSegmentationDataModule"): 4,
    ("LocalizationTask", "VOCLocalizationDataModule"): 3,
    ("InstanceTask", "COCOInstanceDataModule"): 5,
    ("InstanceTask", "COCOKeypointDataModule"): 2,
    ("PoseTask", "LSPPoseDataModule"): 14,
    ("PoseTask", "MPIIPoseDataModule"): 16,
}


def small_network(config: dict[str, Any]) -> list[str]:
    """Return options for random weights, small images and few regions, if they apply.

    METEOR's program is tested with the metric. Here it would take longer than everything else.
    """
    network = config["model"]["init_args"]["network"]["init_args"]
    options = {"weights": "null", "min_size": 128, "max_size": 128, "roi_batch": 16, "windows": 16}
    options |= {"rpn_post_nms_train": 50, "rpn_post_nms_test": 20}
    given = [f"--model.network.{name}={value}" for name, value in options.items() if name in network]
    given += ["--model.initial_weights=null"] if "initial_weights" in config["model"]["init_args"] else []
    if config["model"]["init_args"]["network"]["class_path"].endswith("MaskRCNN"):
        given += ["--model.network.detections_per_image=5"]
    captions = config["model"]["class_path"].endswith("CaptioningTask")
    return [*given, *(["--model.meteor=exact_match_meteor"] if captions else [])]


def small_data(config: dict[str, Any], folder: Path) -> list[str]:
    """Return options for a few generated images in the format of the experiment's data set."""
    kind = config["data"]["class_path"].rpartition(".")[2]
    sets = ["--data.train_sets=[2012_train]", "--data.val_sets=[2012_val]"] if kind.startswith("VOC") else []
    root = folder / ("voc" if sets else kind)
    few = [*sets, f"--data.root={root}", "--data.source=shapes", "--data.shapes.train=4", "--data.shapes.val=2"]
    if kind != "VisualGenomeDataModule":
        return few
    return [*few, "--data.min_count=1", "--data.max_words=12", "--data.test_sets=null"]


def one_step(args: list[str], shapes: Path) -> LitCLI:
    """Run one training step and one validation batch of an experiment on a few generated images."""
    (file,) = [value for key, value in split_arguments(args) if key == "config"]
    config = yaml.safe_load(Path(file).read_text())
    return LitCLI(
        [
            *args,
            *small_network(config),
            *small_data(config, shapes),
            "--data.batch_size=1",
            "--data.num_workers=0",
            "--trainer.max_steps=1",
            "--trainer.val_check_interval=1",
            "--trainer.limit_val_batches=1",
            "--trainer.num_sanity_val_steps=0",
            "--trainer.accelerator=cpu",
            "--trainer.callbacks=[]",
            "--trainer.enable_progress_bar=false",
            "--trainer.enable_model_summary=false",
        ]
    )


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def marked(paths: list[Path], long: Callable[[Path], object]) -> list[Any]:
    """Return the paths as parameters; those that are chosen are tried by the long tests."""
    return [pytest.param(path, marks=pytest.mark.long if long(path) else (), id=name_of(path)) for path in paths]


# Each takes five to ten seconds, and there is the same experiment on a smaller backbone or on smaller images.
LARGE = {"voc/ssd512_vgg16", "voc/localization_vgg16", "voc/yolo", "voc/rcnn_alexnet", "visual_genome/densecap_vgg16"}
LARGE |= {"voc/faster_rcnn_vgg16_alternating", "voc/fcn_vgg16", "coco/mask_rcnn_resnet50_fpn"}


def is_long(path: Path) -> bool:
    return name_of(path) in LARGE or bool(OF_MANY.fullmatch(name_of(path)))


@pytest.mark.slow
@pytest.mark.parametrize("path", marked(EXPERIMENTS, is_long))
def test_experiment_runs_one_step(path: Path, shapes: Path) -> None:
    cli = one_step(["fit", "--config", str(path)], shapes)
    assert cli.trainer.global_step == 1
    logged, known = set(cli.trainer.callback_metrics), cli.model.logged_metrics()
    logged, known = ({name for name in names if name.startswith("val/")} for names in (logged, known))
    assert logged <= known
    # Four images lack some classes and sizes, which are then not logged.
    assert {name for name in known - logged if not re.search(r"/(?:\w+_)?(?:map|mar)_\w+$|/\w*ap/", name)} == set()
    assert cli.trainer.callback_metrics["val/loss"].isfinite()
    kinds = type(cli.model).__name__, type(cli.datamodule).__name__
    expected = SIZES[kinds] if kinds in SIZES else len(cli.datamodule.vocabulary)
    assert getattr(cli.model.network, cli.model.SIZE) == expected


@pytest.mark.parametrize("path", filter(is_long, EXPERIMENTS), ids=name_of)
def test_other_experiments_parse(path: Path) -> None:
    check(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [*SWEEPS, *marked(LECTURE, lambda path: path.stem in MANY_ARMS)], ids=name_of)
def test_every_arm_of_a_sweep_parses(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITCV_TEST_DATA", "data")
    assert load_sweep(path).metric is not None
    check(path.relative_to(ROOT))


def test_the_hook_names_a_bad_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("experiments/quickstart", "sweeps"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    experiment, sweep = Path("experiments/quickstart/ssd.yaml"), Path("sweeps/quickstart.yaml")
    assert check_files([str(experiment), str(sweep)]) == 0
    experiment.write_text(experiment.read_text().replace("batch_size:", "batch_sise:"))
    sweep.write_text(sweep.read_text().replace("anchor_scales", "anchor_scalse"))
    assert check_files([str(experiment), str(sweep)]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{experiment}: ")
    assert "batch_sise" in first
    assert second.startswith(f"{sweep}: ")
    assert "anchor_scalse" in second


SECONDS_EACH = {"yolo_models", "rcnn_layers", "rcnn_box_regression", "localization_head", "mask_rcnn_roi_op"}
SECONDS_EACH |= {"ssd_boxes", "ssd_augmentation"}


def small_backbone(args: list[str]) -> list[str]:
    """Return the option for ResNet-18 instead of the large backbone of a two-stage network's experiment."""
    given = dict(split_arguments(args))
    network = yaml.safe_load(Path(given["config"]).read_text())["model"]["init_args"]["network"]
    two_stage = network["class_path"].endswith(("FastRCNN", "FasterRCNN", "MaskRCNN", "DenseCap"))
    large = two_stage and network["init_args"].get("backbone") in ("vgg16", "resnet50")
    return ["--model.network.backbone=resnet18"] if large and "model.network.backbone" not in given else []


OWN_FILES = {"voc_to_coco"}  # need a run or a list of images of the reader


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", marked([path for path in SWEEPS if path.stem not in OWN_FILES], lambda path: path.stem in SECONDS_EACH)
)
def test_last_arm_of_a_sweep_runs_one_step(path: Path, shapes: Path) -> None:
    args = list(load_sweep(path).trials())[-1].args
    assert one_step([*args, *small_backbone(args)], shapes).trainer.global_step == 1


def test_default_optimizer_and_schedule_can_be_serialized(tmp_path: Path) -> None:
    config = yaml.safe_load((ROOT / "experiments/quickstart/fcn.yaml").read_text())
    del config["model"]["init_args"]["optimizer"], config["model"]["init_args"]["scheduler"]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    resolved = yaml.safe_load(_parser().dump(parsed(["fit", "--config", str(tmp_path / "config.yaml")])))
    model = resolved["fit"]["model"]["init_args"]
    assert (model["optimizer"], model["scheduler"]) == ("lit_cv.tasks.base.sgd", "lit_cv.tasks.base.warmup")


@pytest.mark.parametrize("null", ["null", "None"])
def test_null_reaches_a_nested_class(null: str) -> None:
    args = ["fit", "--config", "experiments/voc/faster_rcnn_vgg16.yaml", "--model.network.weights=" + null]
    config = parsed([*args, "--model.network.trainable_layers=" + null])
    network = config.fit.model.init_args.network.init_args
    assert network.weights is None
    assert network.trainable_layers is None


def test_parameter_missing_from_the_experiment_is_refused() -> None:
    args = ["fit", "--config", "experiments/quickstart/ssd.yaml", "--model.network.anchor_size=[32]"]
    with pytest.raises(UserError, match=r"anchor_size") as error:
        check_trials([args], "val/map")
    assert "\n" not in str(error.value)


def test_trials_of_one_arm_are_parsed_once_but_every_seed_is_checked() -> None:
    args = ["fit", "--config", "experiments/quickstart/ssd.yaml"]
    with pytest.raises(UserError, match=r"seed_everything"):
        check_trials([[*args, "--seed_everything=1"], [*args, "--seed_everything=two"]], "val/map")


def test_a_metric_that_the_task_does_not_log_is_refused() -> None:
    with pytest.raises(UserError, match=r"'val/miou' is not logged by DetectionTask"):
        check_trials([["fit", "--config", "experiments/quickstart/ssd.yaml"]], "val/miou")

"""The kinds of files that are mutated: a small valid example of each, and the verbs that read it."""

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import yaml

from lit_cv.cli import main
from lit_cv.runs.files import read_json, write_json
from tests.fuzz.files import other_picture, spoil
from tests.fuzz.wandb_logs import spoil_log, write_logs

ROOT = Path(__file__).parents[2]
QUICK = ROOT / "experiments" / "quickstart"
SCORE, SCALES = "val/map_50", "model.network.anchor_scales"
DRY = ["--dry-run", "--no-measure"]
RARE = 50  # one input in 50 trains on the mutated data, which takes seconds


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        write: Write the valid example into an empty folder, which becomes the working folder.
        spoil: Mutate files of the working folder, and return the arguments of `litcv` that read them.
    """

    write: Callable[[], None]
    spoil: Callable[[Random], list[str]]


def _chosen(rng: Random, *patterns: str) -> Path:
    """Return one of the files that match a pattern, the first pattern half of the time."""
    pattern = patterns[0] if rng.random() < 0.5 else rng.choice(patterns)
    return rng.choice(sorted(Path().glob(pattern)))


def _data(
    layout: str,
    experiments: Sequence[str],
    patterns: Sequence[str],
    *settings: str,
    write: Callable[[], None] | None = None,
) -> Format:
    """Return the format of a data set's files, which `doctor`, `browse` and, rarely, `fit` read."""

    def generate() -> None:
        assert main(["shapes", layout, "data", "--train=2", "--val=1", "--size=32", "--seed=1"]) == 0

    def spoil_one(rng: Random) -> list[str]:
        for _ in range(rng.choice((1, 1, 1, 2))):
            spoil(rng, _chosen(rng, *patterns))
        experiment = QUICK / f"{rng.choice(experiments)}.yaml"
        common = ["--data.root=data", "--data.source=local", *settings]
        if rng.random() < 1 / RARE:
            return ["fit", str(experiment), *common, *STEP, "--data.batch_size=2"]
        return [rng.choice(("doctor", "browse")), str(experiment), *common]

    return Format(write or generate, spoil_one)


STEP = ["--trainer.max_steps=1", "--trainer.val_check_interval=1", "--trainer.accelerator=cpu", "--run.wandb=disabled"]
STEP += ["--data.num_workers=0", "--trainer.enable_model_summary=false"]


def _mpii_json() -> None:
    assert main(["shapes", "mpii", "data", "--train=2", "--val=1", "--size=32", "--seed=1"]) == 0
    names = sorted(path.name for path in Path("data/images").iterdir())
    joints = [[2.0 + number, 30.0 - number] for number in range(16)]
    record = {"center": [16.0, 16.0], "scale": 0.15, "joints": joints, "joints_vis": [1] * 15 + [0]}
    Path("data/annot").mkdir()
    for name, images in (("train", names[:2]), ("valid", names[2:])):
        Path(f"data/annot/{name}.json").write_text(json.dumps([{"image": image, **record} for image in images]))


def _pictures() -> None:
    assert main(["shapes", "voc", "data", "--train=2", "--val=1", "--size=32", "--seed=1"]) == 0


def _spoil_picture(rng: Random) -> list[str]:
    masks = rng.random() < 0.5
    file = _chosen(
        rng, "data/VOCdevkit/VOC2012/SegmentationClass/*.png" if masks else "data/VOCdevkit/VOC2012/JPEGImages/*.jpg"
    )
    if rng.random() < 0.25:
        other_picture(rng, file)
    else:
        spoil(rng, file)
    verb = rng.choice(("doctor", "browse")) if rng.random() > 1 / RARE else "fit"
    experiment = QUICK / ("fcn.yaml" if masks else "ssd.yaml")
    return [
        verb,
        str(experiment),
        "--data.root=data",
        "--data.source=local",
        *(STEP if verb == "fit" else ()),
        "--data.batch_size=2",
    ]


def _small_experiment(name: str = "ssd") -> dict[str, object]:
    experiment = yaml.safe_load((QUICK / f"{name}.yaml").read_text())
    experiment["data"]["init_args"] |= {"root": "data", "source": "local", "batch_size": 2}
    experiment["trainer"] |= {"max_steps": 1, "val_check_interval": 1, "enable_model_summary": False}
    return dict(experiment)


def _experiment() -> None:
    assert main(["shapes", "voc", "data", "--train=2", "--val=1", "--size=32", "--seed=1"]) == 0
    Path("experiment.yaml").write_text(yaml.safe_dump(_small_experiment(), sort_keys=False))


def _spoil_experiment(rng: Random) -> list[str]:
    spoil(rng, Path("experiment.yaml"))
    verb = rng.choice(("fit", "doctor", "browse", "print", "print", "print"))
    if verb == "print":
        return ["fit", "experiment.yaml", "--print_config"]
    # Endless trainings, thousands of processes and generated data of any size would be what the file asks for.
    return [verb, "experiment.yaml", "--data.source=local", "--data.num_workers=0", *(STEP if verb == "fit" else ())]


def _sweep() -> None:
    for method in ("grid", "random", "bayes"):
        content = yaml.safe_load((ROOT / "sweeps" / "quickstart.yaml").read_text())
        content["command"][content["command"].index("experiments/quickstart/faster_rcnn.yaml")] = "experiment.yaml"
        if method != "grid":
            content["parameters"]["model.optimizer.lr"] = {
                "distribution": "log_uniform_values",
                "min": 1e-4,
                "max": 1e-2,
            }
            content |= {"run_cap": 4, "early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 2}}
        Path(f"{method}.yaml").write_text(yaml.safe_dump({**content, "method": method}, sort_keys=False))
    shutil.copy(QUICK / "faster_rcnn.yaml", "experiment.yaml")


def _spoil_sweep(rng: Random) -> list[str]:
    file = Path(f"{rng.choice(('grid', 'grid', 'random', 'bayes'))}.yaml")
    spoil(rng, file if rng.random() < 0.9 else Path("experiment.yaml"))
    return [
        "sweep",
        str(file),
        *rng.choice((DRY, DRY, ["--status"], [*DRY, "--executor=slurm"])),
    ]


def _results() -> None:
    """Write a finished sweep of two arms and two seeds."""
    from tests.helpers.fake_project import write_run

    _sweep()
    arms = []
    for number, scales in enumerate(([48], [24, 48, 96])):
        arms.append({"values": {SCALES: scales}, "runs": []})
        for seed in (1, 2):
            folder = Path(f"runs/quickstart/{number:04x}{seed:06x}")
            command = [
                "fit",
                "--config",
                "experiment.yaml",
                "--run.group=quickstart",
                f"--{SCALES}={scales}",
                f"--seed_everything={seed}",
            ]
            config = {"model": {"network": {"anchor_scales": scales}}, "data": {"root": "data"}}
            write_run(folder, seed=seed, config=config, score=0.4 + number / 100 + seed / 1000, command=command)
            write_json(folder / "run.json", {"id": folder.name, "command": command, "started": "2026-01-01T00:00:00Z"})
            arms[-1]["runs"].append({"seed": seed, "id": folder.name, "essence": "0" * 16})
    plan = {
        "name": "quickstart",
        "description": "",
        "file": "grid.yaml",
        "method": "grid",
        "swept": [SCALES],
        "arms": arms,
    }
    write_json(
        Path("runs/quickstart/sweep.json"), plan | {"metric": {"name": SCORE, "goal": "maximize"}, "search_seed": None}
    )


def _spoil_result(rng: Random) -> list[str]:
    others = ("runs/*/*/metrics.csv", "runs/*/*/config.yaml", "runs/*/sweep.json", "runs/*/*/run.json")
    spoil(rng, _chosen(rng, "runs/*/*/result.json", *others))
    if rng.random() < 0.2:
        Path("runs/quickstart/sweep.json").unlink(missing_ok=True)
    options = [[], ["--force"], ["--force"], ["--force", "--value=best"], [f"--metric={SCORE}"]]
    return (
        ["report", "runs/quickstart", *rng.choice(options)]
        if rng.random() < 0.9
        else ["sweep", "grid.yaml", "--status"]
    )


def _checkpoint() -> None:
    """Train one step."""
    _experiment()
    assert main(["fit", "experiment.yaml", "--run.wandb=disabled", "--run.group=run"]) == 0
    (folder,) = Path("runs/run").iterdir()
    (folder / "result.json").unlink()  # it continues
    Path("images").mkdir()
    shutil.copy(next(Path("data").rglob("*.jpg")), "images/a.jpg")


def _spoil_checkpoint(rng: Random) -> list[str]:
    from tests.fuzz.checkpoints import spoil_checkpoint

    (folder,) = Path("runs/run").iterdir()
    for name in rng.choice((("best",), ("last",), ("best", "last"))):
        spoil_checkpoint(rng, folder / "checkpoints" / f"{name}.ckpt")
    own = ["fit", "experiment.yaml", "--run.wandb=disabled", "--run.group=run"]
    other = [*own[:-1], "--run.group=other", f"--ckpt_path={folder}/checkpoints/last.ckpt"]
    validate = [rng.choice(("validate", "validate", "test")), str(folder)]
    return rng.choice((validate, validate, [*own, "--resume"], other, ["predict", str(folder), "images"]))


def _wandb() -> None:
    _results()
    for result in sorted(
        Path("runs/quickstart").glob("*1/result.json")
    ):  # of one seed: the client reads a log a second
        with (result.parent / "metrics.csv").open() as lines:
            rows = list(csv.DictReader(lines))
        config = yaml.safe_load((result.parent / "config.yaml").read_text())
        folder = Path("logs") / result.parent.name / "wandb" / f"offline-run-20260101_000000-{result.parent.name}"
        folder.mkdir(parents=True)
        write_logs(folder / f"run-{result.parent.name}.wandb", read_json(result), config, rows)
    shutil.copy("runs/quickstart/sweep.json", "logs/sweep.json")


def _spoil_wandb(rng: Random) -> list[str]:
    spoil_log(rng, _chosen(rng, "logs/*/wandb/*/*.wandb"))
    if rng.random() < 0.1:
        spoil(rng, Path("logs/sweep.json"))
    return ["report", "--wandb", "logs", *rng.choice(([], ["--force"], ["--force", f"--metric={SCORE}"]))]


VOC = "data/VOCdevkit/VOC2012"
COCO = [
    f"data/annotations/{kind}_{split}2017.json"
    for kind in ("instances", "person_keypoints")
    for split in ("train", "val")
]
GENOME = ["data/region_descriptions.json", "data/image_data.json", "data/densecap_splits.json"]
MPII = "--data=datamodules.MPIIPoseDataModule"
FORMATS = {
    "voc": _data("voc", ["ssd", "localization"], [f"{VOC}/Annotations/*.xml", f"{VOC}/ImageSets/Main/*.txt"]),
    "coco": _data("coco", ["mask_rcnn", "keypoint_rcnn"], COCO),
    "mpii_mat": _data("mpii", ["pose"], ["data/*/*.mat"], MPII, "--data.val_fraction=0.4"),
    "mpii_json": Format(
        _mpii_json, _data("mpii", ["pose"], ["data/annot/*.json"], MPII, "--data.annotations=json").spoil
    ),
    "lsp_mat": _data("lsp", ["pose"], ["data/joints.mat"], "--data.val_fraction=0.4"),
    "visual_genome": _data("visual_genome", ["densecap"], GENOME),
    "picture": Format(_pictures, _spoil_picture),
    "sweep": Format(_sweep, _spoil_sweep),
    "experiment": Format(_experiment, _spoil_experiment),
    "checkpoint": Format(_checkpoint, _spoil_checkpoint),
    "result": Format(_results, _spoil_result),
    "wandb": Format(_wandb, _spoil_wandb),
}

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lit_cv.cli import main

ROOT = Path(__file__).parents[1]
VERBS = (
    *("fit", "validate", "test", "predict", "evaluate", "sweep", "report", "diff"),
    *("new", "bench", "export", "proposals", "doctor", "browse", "shapes"),
)


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def answer(args: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Return exit code and standard error; argparse exits with SystemExit."""
    try:
        code = main(args)
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    return code, capsys.readouterr().err.strip()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main([verb, "--help"])
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    text = capsys.readouterr().out
    assert code == 0
    assert f"litcv {verb} " in text.split("example:")[1]


@pytest.mark.parametrize(
    "args",
    [["--help"], ["sweep", "sweeps/faster_rcnn_anchors.yaml", "--dry-run"], ["fit", "--config", "missing.yaml"]],
    ids=" ".join,
)
def test_light_commands_import_no_heavy_packages(args: list[str]) -> None:
    code = "import sys; from lit_cv.cli import main\ntry: main(sys.argv[1:])\nexcept SystemExit: pass\n"
    heavy = "print([name for name in ('torch', 'lightning', 'numpy', 'albumentations') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + heavy, *args], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_bad_usage_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer([], capsys)[0] == 2
    assert answer(["trane"], capsys)[0] == 2
    assert answer(["fit"], capsys)[0] == 2
    assert answer(["sweep"], capsys)[0] == 2
    ssd = ["--config", "experiments/quickstart/ssd.yaml", f"--run.root={tmp_path}"]
    code, text = answer(["fit", *ssd, "--model.network.backbne=x"], capsys)
    assert code == 2
    assert "backbne" in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["fit", "--config", "experiments/none.yaml"], "litcv: error: experiments/none.yaml: there is no such file"),
        (["sweep", "sweeps/none.yaml"], "sweeps/none.yaml"),
        (["report", "runs/none"], "runs/none: there is no such folder"),
        (["validate", "runs/none/1"], "runs/none/1"),
        (["predict", "runs/none/1", "photos"], "runs/none/1: there is no such folder; give the folder of a run"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_user_errors_are_one_sentence(args: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = answer(args, capsys)
    assert code == 1
    assert sentence in text
    assert len(text.splitlines()) == 1


def test_missing_data_is_one_sentence_and_leaves_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["fit", "--config", "experiments/voc/ssd_squeezenet.yaml", "--model.network.weights=null"]
    code, text = answer([*args, f"--data.root={tmp_path / 'none'}", f"--run.root={tmp_path / 'runs'}"], capsys)
    assert code == 1
    assert f"{tmp_path / 'none'} holds no VOCdevkit folder" in text.splitlines()[-1]
    assert not list(tmp_path.glob("runs/*/*/result.json"))
    assert not list(tmp_path.glob("runs/*/*/run.json"))


@pytest.mark.slow
def test_fit_validate_predict(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Train in a process of its own, validate, and predict with pictures of the predictions."""
    root = f"--run.root={tmp_path / 'runs'}"
    small = [f"--data.root={tmp_path / 'shapes'}", "--data.shapes.train=16", "--data.shapes.val=3"]
    steps = ["--trainer.max_steps=2", "--trainer.val_check_interval=2"]
    program = [sys.executable, "-m", "lit_cv", "fit", "--config", "experiments/quickstart/faster_rcnn.yaml"]
    subprocess.run([*program, root, "--run.group=one", *small, *steps], timeout=280, check=True)
    (run,) = (tmp_path / "runs" / "one").iterdir()
    written = {path.relative_to(run).parts[0] for path in run.rglob("*") if path.is_file()}
    assert {"config.yaml", "metrics.csv", "result.json", "run.json", "checkpoints", "pictures", "wandb"} <= written
    assert list(run.glob("wandb/offline-run-*/files/media/images/val/pictures/*.png"))

    assert main(["validate", str(run)]) == 0
    images = tmp_path / "shapes" / "VOCdevkit" / "VOC2012" / "JPEGImages"
    assert main(["predict", str(run), str(images), f"--output={tmp_path / 'found'}", "--score-threshold=0"]) == 0
    assert len(list((tmp_path / "found").glob("*.png"))) == 19
    assert (tmp_path / "found" / "predictions.json").is_file()
    assert "ckpt_path" not in capfd.readouterr().err  # Lightning's advice about callbacks of the training


def test_closed_standard_output_is_no_error():
    program = [sys.executable, "-m", "lit_cv", "sweep", "sweeps/faster_rcnn_anchors.yaml", "--dry-run"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""


def test_the_console_script_finds_a_class_in_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / "of_a_user.py").write_text("from lit_cv.models import SSD\n\n\nclass OwnSSD(SSD):\n    pass\n")
    script = "import sys; from lit_cv.cli import main; sys.exit(main())"
    config = str(ROOT / "experiments/quickstart/ssd.yaml")
    args = ["fit", "--config", config, "--model.network=of_a_user.OwnSSD", "--model.network.sise=3"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-c", script, *args]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "model.network.sise: OwnSSD has no such setting; did you mean size?" in done.stderr

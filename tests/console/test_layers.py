"""An expected failure reaches the console as one sentence, at whichever layer it is raised."""

import sys
from pathlib import Path

import pytest
import yaml

from lit_cv.errors import UsageError, UserError, did_you_mean, expected_failure, nearest
from tests.console.console import Answer, litcv, small

PARTS = "tests.console.failing_parts"
LAYERS = {
    "the import": "--model.network=tests.console.fails_on_import.Network",
    "the network": f"--model.network={PARTS}.FailingNetwork",
    "the transform": f"--data.augmentation=[{{class_path: {PARTS}.FailingTransform}}]",
    "the callback's constructor": f"--trainer.callbacks={PARTS}.FailingCallbackInit",
    "the setup": f"--data={PARTS}.FailingSetup",
    "the optimizer": f"--model.optimizer={PARTS}.FailingOptimizer",
    "the loss": f"--model.network={PARTS}.FailingLoss",
    "the callback": f"--trainer.callbacks+={PARTS}.FailingCallback",
    "the metric": f"--model={PARTS}.FailingMetric",
}


def check(answer: Answer, part: str) -> None:
    assert answer.code == 1
    assert answer.errors == [f"litcv: error: {part} fails on purpose; remove it."]


@pytest.mark.parametrize("part", LAYERS)
def test_a_failure_of_fit_is_one_sentence(part: str, shapes: Path, tmp_path: Path) -> None:
    check(litcv("fit", *small(shapes, tmp_path), LAYERS[part]), part)


BROKEN = {  # content of a file of the user: the reason why it cannot be imported
    "import lit_cv\nfrom lit_cv.models import NoNetwork": "2: ImportError: cannot import name 'NoNetwork' from 'lit_c",
    "def build(:": "1: SyntaxError: invalid syntax; fix the file.",
    "import torch\n\nSIZE = torch.nosuch": "3: AttributeError: module 'torch' has no attribute 'nosuch'; fix the file.",
    "import no_such_package": "1: ModuleNotFoundError: No module named 'no_such_package'; fix the file.",
    "def size():\n    return 1 / 0\n\n\nsize()": "5: ZeroDivisionError: division by zero; fix the file.",
}


@pytest.mark.parametrize(
    ("option", "text"),
    [
        *(("--model.network", text) for text in BROKEN),
        *((option, "def build(:") for option in ("--model.network.class_path", "--trainer.callbacks+")),
    ],
)
def test_a_file_that_cannot_be_imported_is_named_with_line_and_reason(
    option: str, text: str, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_file.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    answer = litcv("fit", *small(shapes, tmp_path), f"{option}=broken_file.Mine")
    (sentence,) = answer.errors
    key = option.removesuffix(".class_path").strip("-+")
    assert answer.code == 2
    assert sentence.startswith(f"litcv: error: {key}: broken_file.Mine cannot be imported, {tmp_path}/broken_file.py:")
    assert BROKEN[text] in sentence


def test_a_class_that_lacks_methods_is_told_which(shapes: Path, tmp_path: Path) -> None:
    answer = litcv("fit", *small(shapes, tmp_path), "--model.network=lit_cv.models.Detector")
    said = "lit_cv.models.Detector is abstract: define _predict, forward, losses in it, or name a subclass that does."
    assert answer.errors == [f"litcv: error: model.network: {said}"]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_failure_of_a_loading_process_is_one_sentence(workers: int, shapes: Path, tmp_path: Path) -> None:
    data = [f"--data={PARTS}.FailingLoader", f"--data.num_workers={workers}"]
    options = [option for option in small(shapes, tmp_path) if not option.startswith("--data.num_workers")]
    check(litcv("fit", *options, *data), "the sample")


@pytest.mark.parametrize("verb", ["bench", "browse", "doctor", "proposals"])
def test_a_failure_of_a_verb_that_builds_is_one_sentence(verb: str, shapes: Path, tmp_path: Path) -> None:
    _, config, *settings = small(shapes, tmp_path)
    check(litcv(verb, config, *settings, LAYERS["the transform"]), "the transform")


@pytest.mark.slow
def test_a_failure_of_a_forked_run_is_one_sentence_in_its_log(shapes: Path, tmp_path: Path) -> None:
    settings = small(shapes, tmp_path)
    sweep = {
        "method": "grid",
        "metric": {"name": "val/map_50", "goal": "maximize"},
        "parameters": {"seed_everything": {"values": [1]}},
        "command": ["${env}", sys.executable, "-m", "lit_cv", "fit", *settings, LAYERS["the loss"], "${args}"],
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    answer = litcv("sweep", str(tmp_path / "sweep.yaml"))
    assert answer.code == 1
    assert "Traceback" not in "\n".join([answer.output, *answer.errors])
    (log,) = tmp_path.glob("runs/*/*/log.txt")
    said = log.read_text()
    assert "litcv: error: the loss fails on purpose; remove it.\n" in said
    assert "Traceback" not in said


def test_a_bug_keeps_its_traceback(shapes: Path, tmp_path: Path) -> None:
    code, _, errors = litcv("fit", *small(shapes, tmp_path), f"--model.network={PARTS}.BrokenNetwork")
    assert code == 1
    assert "ZeroDivisionError: a bug" in errors
    assert expected_failure(ValueError("a bug")) is None
    with pytest.raises(ZeroDivisionError):
        raise_from(ZeroDivisionError(), UserError("handled before"), hide=True)


def test_the_failure_is_found_behind_the_errors_of_libraries() -> None:
    for hide in (False, True):
        try:
            raise_from(ValueError("wrapped"), UsageError("this;\n fix it."), hide)
        except ValueError as error:
            found = expected_failure(error)
            assert (type(found), str(found)) == ((type(None), "None") if hide else (UsageError, "this; fix it."))
    worker = "Caught UserError in DataLoader worker process 0.\nTraceback:\nlit_cv.errors.UserError: a;\nb\n\nThe above"
    assert str(expected_failure(RuntimeError(worker))) == "a; b"


def raise_from(error: Exception, cause: Exception, hide: bool) -> None:
    try:
        raise cause
    except UserError:
        if hide:
            raise error from None
        raise error  # noqa: B904  (its context is tested)


def test_many_choices_are_listed_by_nearness() -> None:
    sets = [f"2012_{name}_{part}" for name in ("aeroplane", "bicycle", "train", "tvmonitor") for part in "abcde"]
    assert nearest("2012_trian_b", sets)[0] == "2012_train_b"
    assert len(nearest("2012_trian_b", sets)) == 5
    assert nearest("c", ["b", "a", "b"]) == ["b", "a"]
    assert did_you_mean("SDD", ["SSD", "FCN"]) == "; did you mean SSD?"
    assert did_you_mean("foo", ["SSD"]) == ""

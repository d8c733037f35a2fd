from pathlib import Path

import pytest

from lit_cv.errors import UserError
from lit_cv.runs.files import lock
from lit_cv.runs.folder import run_folder, run_group, run_id
from lit_cv.runs.settings import merged_arguments

CONFIG = """
seed_everything: 1
model:
  class_path: lit_cv.tasks.DetectionTask
  init_args:
    network:
      class_path: lit_cv.models.SSD
      init_args:
        backbone: vgg16
        anchor_ratios: [[2], [2, 3]]
run:
  group: null
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "voc" / "ssd.yaml"
    path.parent.mkdir()
    path.write_text(CONFIG)
    return str(path)


def test_run_id_depends_only_on_the_settings_that_define_the_run(config: str) -> None:
    base = run_id(["fit", "--config", config])
    assert run_id(["fit", f"--config={config}"]) == base
    assert run_id(["fit", "-c", config]) == base
    assert run_id(["fit", "--config", config, "--run.root=elsewhere", "--resume"]) == base
    assert run_id(["fit", "--config", config, "--model.network.backbone=vgg16"]) == base
    assert run_id(["fit", "--config", config, "--model.network.backbone=resnet50"]) != base
    assert run_id(["fit", "--config", config, "--seed_everything=2"]) != base


def test_order_and_spelling_of_overrides_do_not_matter(config: str) -> None:
    one = ["fit", "--config", config, "--seed_everything=2", "--model.optimizer.lr=1e-4"]
    other = ["fit", "--model.optimizer.lr", "0.0001", "--config", config, "--seed_everything", "2"]
    # a config overrides earlier options that set the same key, as on the command line
    assert run_id(one) == run_id(other)
    assert run_id(["fit", "--seed_everything=2", "--config", config]) == run_id(["fit", "--config", config])


VALUES = ["#1", "#2", "inf", "nan", "null", "yes", "on", "y", "true", "1", "01", "1:30", "90", "0x1F", "31", "", "-",
          ".inf", "-.inf", ".nan", "1e25", "2e25", "-1e25", "\udcff", "\udcfe", "a #b", "a", "[null]"]  # fmt: skip


def test_arguments_with_different_meanings_are_different_runs(config: str) -> None:
    ids = {value: run_id(["fit", "--config", config, f"--data.name={value}"]) for value in VALUES}
    assert len(set(ids.values())) == len(VALUES)
    same = [["1e25", "1.0e+25"], ["null", "None", "~"], ["true", "True"], ["1", "1.0"]]
    for spellings in same:
        assert len({run_id(["fit", "--config", config, f"--data.name={text}"]) for text in spellings}) == 1


def test_values_of_a_config_that_json_cannot_hold(tmp_path: Path) -> None:
    def run_of(text: str) -> str:
        (tmp_path / "x.yaml").write_text(text)
        return run_id(["fit", "--config", str(tmp_path / "x.yaml")])

    texts = ["a: {0: 2, 4: 1}", "a: {0: 2, 4: 2}", "a: [{1: 2}]", "a: 1.0e+30", "a: 99999999999999999999", "a: .inf",
             "a: .nan", "a: null", "a: -.inf", "a: 2020-01-01", "a: !!binary aGk=",
             "0: 1", "a: [!!set {x}]"]  # fmt: skip
    assert len({run_of(text) for text in texts}) == len(texts)


def test_ids_of_earlier_versions_stay(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(
        "a: {b: [1.5, 2.0, text, true, null], init_args: {lr: 1.0e-5}}\nc: 9223372036854775807\n"
    )
    overrides = ["--d=1e-4", "--e", "True", "--f=[1, 2.5]", "--g=None", "--h={a: 1}", "--i=a b", "--j=-3", "--k=1_000"]
    assert run_id(["fit", "--config", str(tmp_path / "x.yaml"), *overrides]) == "72c9ba3280"


def test_keys_are_flat_and_without_init_args(config: str) -> None:
    merged = merged_arguments(["fit", "--config", config])
    assert merged["model.network.backbone"] == "vgg16"
    assert merged["model.network.class_path"] == "lit_cv.models.SSD"
    assert merged["model.network.anchor_ratios"] == [[2], [2, 3]]


def test_folder_is_root_group_id(config: str) -> None:
    args = ["fit", "--config", config]
    assert run_folder(args) == Path("runs") / "voc-ssd" / run_id(args)
    assert run_group([*args, "--run.group=sweep"]) == "sweep"
    assert run_folder([*args, "--run.root", "/tmp/r"]).parts[:3] == ("/", "tmp", "r")


TEXTS = [
    "2024_01",
    "1e3",
    "1.10",
    "1.0",
    "on",
    "true",
    "0x10",
    "010",
    "2024-01-01",
    "1:30",
    "#1",
    "[a]",
    ".inf",
    "1_0.5",
]


@pytest.mark.parametrize("text", TEXTS)
def test_the_name_of_a_group_is_the_text_that_was_typed(config: str, text: str) -> None:
    assert run_group(["fit", "--config", config, f"--run.group={text}"]) == text
    assert run_group(["fit", "--config", config, "--run.group", text]) == text
    assert run_folder(["fit", "--config", config, f"--run.root={text}"]).parts[0] == text


def test_missing_or_broken_config_gives_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        run_id(["fit", "--config", str(tmp_path / "none.yaml")])
    (tmp_path / "broken.yaml").write_text("a: [1,\n")
    with pytest.raises(UserError, match=r"broken\.yaml: not valid YAML") as error:
        run_id(["fit", "--config", str(tmp_path / "broken.yaml")])
    assert "\n" not in str(error.value)


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    with lock(tmp_path / ".lock", "busy"), pytest.raises(UserError, match="busy"), lock(tmp_path / ".lock", "busy"):
        pass
    with lock(tmp_path / ".lock", "busy"):
        pass

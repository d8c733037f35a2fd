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

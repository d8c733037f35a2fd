"""Images in two splits are looked for once for each data set, and the report says what was found."""

import json
from pathlib import Path

import pytest
import yaml

from lit_cv.ablation.results.study import load_study
from lit_cv.ablation.results.traps.leaks import about_leaks, find
from lit_cv.errors import UserError
from lit_cv.runs.leaks import leak_file
from lit_cv.training.experiment import data_fingerprint
from lit_cv.training.leaks import check_leaks
from tests.helpers.fake_project import change, write_run

EXPERIMENT = Path(__file__).parents[2] / "experiments" / "quickstart" / "faster_rcnn.yaml"


@pytest.fixture
def make_group(tmp_path):
    """Write two runs on generated data; return their group and the fingerprint of the data."""

    def make(val_sets):
        group = tmp_path / "runs" / val_sets
        config = yaml.safe_load(EXPERIMENT.read_text())
        shapes = {"train": 2, "val": 1, "size": 48}
        config["data"]["init_args"] |= {"root": str(tmp_path / "data"), "val_sets": [val_sets], "shapes": shapes}
        for name in ("a", "b"):
            write_run(group / name)
            (group / name / "config.yaml").write_text(yaml.safe_dump(config))
        found = data_fingerprint(["fit", "--config", str(group / "a" / "config.yaml")], generate=True)
        for name in ("a", "b"):
            change(group / name, data={"fingerprint": found, "counts": {}})
        return group, found

    return make


def test_leaks_stand_in_the_report_and_are_looked_for_once(make_group):
    leaky, of_leaky = make_group("2012_train")
    clean, of_clean = make_group("2012_val")
    study = load_study([leaky])
    assert about_leaks(study) == [
        f"Images in two splits: not looked for in the data {of_leaky[:7]}; litcv doctor does."
    ]
    check_leaks([leaky, clean])
    (text,) = find(study)
    assert text.startswith(f"2 images of the data {of_leaky[:7]} are in two splits (")
    assert "of val is the same picture as" in text
    assert about_leaks(study) == []
    study = load_study([clean])
    assert find(study) == []
    assert about_leaks(study) == [f"Images in two splits: none among the 3 images of the data {of_clean[:7]}."]

    file = leak_file(clean, of_clean)
    file.write_text(json.dumps({"finished": False, "seconds": 60.0}))
    check_leaks([clean])  # not again
    (text,) = about_leaks(study)
    assert text.endswith("was not finished within 60 s; litcv doctor has no limit.")
    file.unlink()
    check_leaks([clean], seconds=0.0)
    assert json.loads(file.read_text())["finished"] is False
    file.write_text('{"finished": 3}')
    with pytest.raises(UserError, match=r"json: `finished` is 3, not true or false; delete it"):
        about_leaks(study)


def test_other_data_than_that_of_the_runs_is_not_recorded(make_group):
    group, found = make_group("2012_val")
    for name in ("a", "b"):
        change(group / name, data={"fingerprint": "elsewhere", "counts": {}})
    check_leaks([group])
    assert not leak_file(group, "elsewhere").exists()
    assert not leak_file(group, found).exists()

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.errors import UserError
from lit_cv.runs.settings import split_arguments

REPOSITORY = Path(__file__).parents[3]
SWEEPS = sorted((REPOSITORY / "sweeps").glob("*.yaml"))
COMMAND = ["${env}", "${interpreter}", "-m", "lit_cv", "fit", "--config", "x.yaml", "${args}"]


@pytest.fixture
def sweep_file(tmp_path):
    def write(parameters, **changes):
        file = tmp_path / "sweep.yaml"
        content = {"method": "grid", "parameters": parameters, "command": COMMAND} | changes
        file.write_text(yaml.safe_dump(content, sort_keys=False))
        return file

    return write


def test_every_arm_of_the_first_seed_comes_before_the_second_seed(sweep_file):
    parameters = {"b": {"values": [1, 2]}, "a": {"values": ["x", "y"]}, "seed_everything": {"values": [7, 8]}}
    trials = load_sweep(sweep_file(parameters)).trials()
    assert [(t.seed, t.values["b"], t.values["a"]) for t in trials] == [
        (7, 1, "x"),
        (7, 1, "y"),
        (7, 2, "x"),
        (7, 2, "y"),
        (8, 1, "x"),
        (8, 1, "y"),
        (8, 2, "x"),
        (8, 2, "y"),
    ]


def test_program_and_arguments_are_split_at_fit(sweep_file):
    (trial,) = load_sweep(sweep_file({"lr": {"value": 0.1}})).trials(interpreter="python")
    assert trial.program == ["/usr/bin/env", "python", "-m", "lit_cv"]
    assert trial.args == ["fit", "--config", "x.yaml", "--lr=0.1"]


PARAMETERS = {
    "zeta": {"values": [[128, 256], [[2], [2, 3]]]},
    "flag": {"values": [True, False]},
    "lr": {"values": [1.0e-4, 0.5, 3]},
    "word": {"values": ["vgg16", "null", "two words"]},
    "block": {"parameters": {"inner": {"values": [1, "a"]}}},
    "names": {"value": ["a", "b"]},
}


MACROS = ["args", "args_no_equals", "args_no_hyphens", "args_no_boolean_flags", "args_json"]


@pytest.mark.parametrize("macro", [*MACROS, "args_append_hydra", "args_override_hydra"])
def test_macros_equal_those_of_wandbs_own_agent(sweep_file, macro):
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    sweep = load_sweep(sweep_file(PARAMETERS, command=["fit", f"${{{macro}}}"]))
    trials = sweep.trials()
    assert len(trials) == 2 * 2 * 3 * 3 * 2
    for trial in trials:
        values = {key: value for key, value in trial.values.items() if key != "block.inner"}
        values["block"] = {"inner": trial.values["block.inner"]}
        server_order = {"args": {key: {"value": values[key]} for key in sorted(values)}}  # the server sorts by name
        assert trial.args[1:] == create_sweep_command_args(server_order)[macro]


def test_environment_macro_and_program_macro(sweep_file, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", "/data")
    command = ["${env}", "${interpreter}", "${program}", "fit", "--data.root=${envvar:DATA_ROOT}", "${args}"]
    (trial,) = load_sweep(sweep_file({"a": {"value": 1}}, command=command, program="train.py")).trials("py")
    assert trial.program == ["/usr/bin/env", "py", "train.py"]
    assert trial.args == ["fit", "--data.root=/data", "--a=1"]


def test_json_file_macro_names_a_file_with_the_parameters(sweep_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["fit", "--config", "${args_json_file}"]
    trials = load_sweep(sweep_file({"lr": {"values": [0.1, 0.2]}, "a": {"value": "x"}}, command=command)).trials()
    files = [Path(trial.args[2]) for trial in trials]
    assert [json.loads(file.read_text()) for file in files] == [{"a": "x", "lr": 0.1}, {"a": "x", "lr": 0.2}]
    assert files[0].parent == Path("wandb/sweep-sweep")


def test_a_grid_enumerates_ranges_as_wandb_does(sweep_file):
    parameters = {
        "n": {"min": 1, "max": 3},
        "q": {"distribution": "q_uniform", "min": 0, "max": 1.0, "q": 0.5},
        "block": {"parameters": {"x": {"values": [1, 2]}, "y": {"value": "z"}}},
    }
    sweep = load_sweep(sweep_file(parameters))
    assert sweep.parameters == {"n": [1, 2, 3], "q": [0, 0.5], "block": [{"x": 1, "y": "z"}, {"x": 2, "y": "z"}]}
    assert len(load_sweep(sweep_file(parameters, run_cap=5)).trials()) == 5


def test_swept_keys_are_those_with_several_values_without_the_seed(sweep_file):
    parameters = {"b": {"values": [1, 2]}, "c": {"value": 3}, "seed_everything": {"values": [1, 2]}}
    assert load_sweep(sweep_file(parameters)).swept() == ["b"]


@pytest.mark.parametrize(
    ("parameters", "changes", "expected"),
    [
        ({"a": {"value": 1}}, {"metod": "grid"}, "unknown sweep key `metod`; did you mean method?"),
        ({"a": {"value": 1}}, {"run_cap": 0}, "`run_cap` is 0; write the maximum number of runs"),
        ({"a": {"value": 1}}, {"run_cap": True}, "`run_cap` is True"),
        ({"a": {"value": 1}}, {"job": "a/b/c"}, "`job` needs W&B's server"),
        ({"a": {"value": 1}}, {"image_uri": "x"}, "`image_uri` needs W&B's server"),
        ({"a": {"value": 1}}, {"method": "custom"}, "`method` is 'custom'; write one of grid, random, bayes"),
        ({"a": {"value": 1}}, {"method": "bayes"}, "`method: bayes` needs a `metric`"),
        ({"a": {"value": 1}}, {"early_terminate": {"type": "hyperband", "min_iter": 1}}, "needs a `metric`"),
        ({"a": {"value": 1}}, {"early_terminate": {"type": "median"}}, "`early_terminate` is {'type': 'median'}"),
        ({"a": {"value": 1}}, {"early_terminate": {"type": "hyperband"}}, "needs `min_iter`, or `max_iter` and `s`"),
        ({"a": {"value": 1}}, {"early_terminate": {"type": "hyperband", "max_iter": 9}}, "`s` is None"),
        ({"a": {"value": 1}}, {"early_terminate": {"type": "hyperband", "max_iter": 2, "s": 1}}, "at no iteration"),
        ({"a": {"value": 1}}, {"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 1}}, "a number above 1"),
        ({"a": {"value": 1}}, {"early_terminate": {"type": "hyperband", "itr": 1}}, "unknown key of `early_terminate`"),
        ({"a": {"value": 1}}, {"early_terminate": {"type": "hyperband", "strict": 1}}, "write true or false"),
        ({"a": {"value": 1}}, {"metric": {"name": "val/map", "target": "0.9"}}, "`target` is '0.9'; write a number"),
        ({"a": {"value": 1}}, {"metric": {"name": "val/map", "impute": "best"}}, "only worst is supported"),
        ({"a": {"valus": [1]}}, {}, "unknown key of parameter `a`: `valus`; did you mean values"),
        ({"a": {"min": 0.0, "max": 1}}, {}, "has a distribution that a grid cannot enumerate"),
        ({"a": {"values": []}}, {}, "parameter `a` must have a list with at least one value as `values`, not []"),
        ({"a": {"values": 3}}, {}, "a list with at least one value as `values`, not 3"),
        ({"a": {"value": 1, "values": [1]}}, {}, "needs exactly one of value, values, parameters"),
        ({"a": {"values": [1, None]}}, {}, 'passes as the word None; write "null" in quotes'),
        ({"a": {"values": [[1, None]]}}, {}, 'write "null" in quotes'),
        ({"a": {"values": ["1e-4"]}}, {}, "YAML reads as text; write 1.0e-4."),
        ({"a": {"values": ["2.5E5"]}}, {}, "YAML reads as text; write 2.5e+5."),
        ({"a": {"values": [1, 2, 1.0]}}, {}, "lists 1.0 twice"),
        ({"a": 3}, {}, "parameter `a` is 3; write"),
        ({}, {}, "`parameters` is missing or empty"),
        ({"a": {"value": 1}}, {"method": "gird"}, "`method` is 'gird'"),
        ({"a": {"value": 1}}, {"metric": {"name": "val/map", "gaol": "maximize"}}, "did you mean goal"),
        ({"a": {"value": 1}}, {"metric": {"name": "val/map", "goal": "max"}}, "write maximize or minimize"),
        ({"a": {"value": 1}}, {"command": "litcv fit"}, "`command` must be a list of words"),
    ],
)
def test_mistakes_give_one_sentence_with_the_file(sweep_file, parameters, changes, expected):
    file = sweep_file(parameters, **changes)
    with pytest.raises(UserError) as error:
        load_sweep(file)
    assert str(error.value).startswith(f"{file}: ")
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"command": ["fit", "${arguments}"]}, "'${arguments}' in `command` is not a known macro"),
        ({"command": ["fit", "--x=${args}"]}, "each a separate word"),
        ({"command": ["python", "train.py", "${args}"]}, "the command has no `fit`"),
    ],
)
def test_unusable_commands_and_methods_are_refused(sweep_file, changes, expected):
    sweep = load_sweep(sweep_file({"a": {"value": 1}}, **changes))
    with pytest.raises(UserError) as error:
        sweep.trials()
    assert expected in str(error.value)


@pytest.mark.parametrize("text", ["a: [", "- a list", "", None])
def test_files_that_are_not_sweeps_are_refused(tmp_path, text):
    file = tmp_path / "broken.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match=r"broken\.yaml"):
        load_sweep(file)


@pytest.mark.parametrize("file", SWEEPS, ids=lambda file: file.stem)
def test_every_sweep_of_the_repository_loads_and_names_an_experiment(file):
    sweep = load_sweep(file)
    trials = sweep.trials()
    assert len({tuple(trial.args) for trial in trials}) == len(trials)
    assert f"--run.group={file.stem}" in trials[0].args
    assert all((REPOSITORY / dict(split_arguments(trial.args))["config"]).is_file() for trial in trials)
    assert sweep.metric is not None
    assert sweep.metric.goal == ("minimize" if "error" in sweep.metric.name else "maximize")


def test_importing_the_sweep_side_is_light():
    heavy = "any(name in sys.modules for name in ('torch', 'numpy', 'wandb', 'rich'))"
    code = f"import sys, lit_cv.ablation.launch; sys.exit({heavy})"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

import math
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lit_cv.ablation.launch import make_queue
from lit_cv.ablation.sweep.plan import make_jobs, plan
from lit_cv.ablation.sweep.search import STARTUP, BayesQueue, Trials
from lit_cv.ablation.sweep.stopping import UntilTarget
from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.commands.sweep import run_status, run_sweep
from lit_cv.errors import UserError
from lit_cv.runs.files import read_json, write_json
from tests.helpers.fake_project import COMMAND, runner_command

SPACE = {"u": {"min": 0.0, "max": 1.0}, "v": {"min": 0.0, "max": 1.0}}


def bowl(values):
    return (values["u"] - 0.3) ** 2 + 2 * (values["v"] - 0.7) ** 2


@pytest.fixture
def write_sweep(tmp_path, monkeypatch):
    """Return a function that writes ``sweep.yaml`` and an experiment to the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def write(parameters=SPACE, settings=None, **changes):
        Path("experiment.yaml").write_text(yaml.safe_dump({"model": {"lr": 0.1}, **(settings or {})}))
        content = {
            "method": "bayes",
            "metric": {"name": "val/map_50", "goal": "minimize"},
            "parameters": parameters,
            "command": COMMAND,
        } | changes
        Path("sweep.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return load_sweep(Path("sweep.yaml"))

    return write


def searched(sweep, count, workers, function):
    """Search a function; each trial is made when all but the ``workers`` − 1 trials before it have ended."""
    trials = Trials(sweep)
    scores = []
    for number in range(count):
        assert trials.add_best(scores[: max(0, number - workers + 1)])
        scores.append(function(sweep.trial_at(trials.points[-1]).values))
    return trials.points, scores


@pytest.mark.slow
def test_20_bayesian_trials_beat_20_random_ones_for_8_of_10_seeds(write_sweep):
    wins = 0
    for attempt in range(10):
        # the space determines both the searched parameters and the first trial
        sweep = write_sweep(SPACE | {"attempt": {"value": attempt}})
        random = Trials(sweep)
        assert all(random.add_random() for _ in range(20))
        at_random = min(bowl(sweep.trial_at(point).values) for point in random.points)
        points, scores = searched(sweep, 20, 4, bowl)
        assert points[:STARTUP] == random.points[:STARTUP]
        wins += min(scores) < at_random
        if wins == 8:
            return
    pytest.fail(f"bayes won {wins} times of 10")


def test_a_random_trial_depends_only_on_the_parameters_and_its_number(write_sweep):
    def points(**changes):
        trials = Trials(write_sweep(**changes))
        return [trials.points[-1] for _ in range(5) if trials.add_random()]

    first = points(method="random")
    assert points(method="random", name="other", run_cap=7) == first
    assert points(method="random", parameters=dict(reversed(SPACE.items()))) == first
    assert points(method="random", parameters=SPACE | {"w": {"value": 1}}) != first
    assert len(set(first)) == 5


def test_a_bayesian_trial_depends_only_on_earlier_results(write_sweep):
    sweep = write_sweep(SPACE | {"n": {"min": 1, "max": 9}, "c": {"values": ["x", "y"]}})
    trials = Trials(sweep)
    assert all(trials.add_random() for _ in range(STARTUP + 1))
    scores = [bowl(sweep.trial_at(point).values) for point in trials.points[:STARTUP]]

    def next_point(results):
        again = Trials(sweep, trials.points)
        again.add_best(results)
        return again.points[-1]

    chosen = next_point(scores)
    assert next_point(scores) == chosen
    assert next_point([*scores[:-1], scores[-1] - 1]) != chosen
    assert next_point(scores[:-1]) != chosen  # too few results: a random trial
    assert next_point([*scores, None]) != next_point([*scores, -1.0])  # the last one failed, or was the best


def test_no_trial_is_made_twice_and_a_small_space_ends(write_sweep):
    sweep = write_sweep({"a": {"values": [1, 2]}, "b": {"min": 1, "max": 3}}, method="random", run_cap=100)
    jobs = plan(sweep)
    assert len(jobs) == 6
    assert len({tuple(job.trial.values.values()) for job in jobs}) == 6


def test_a_search_needs_an_end(write_sweep):
    write_sweep(method="random")
    with pytest.raises(UserError, match=r"sweep\.yaml: a random search has no end; set --runs N or a `run"):
        run_sweep(Path("sweep.yaml"), dry_run=True, preflight=lambda *_: None)
    with pytest.raises(UserError, match="--runs 0: give at least 1"):
        run_sweep(Path("sweep.yaml"), runs=0, dry_run=True, preflight=lambda *_: None)


def test_dry_run_prints_all_random_trials_and_the_first_bayesian_trials(write_sweep, capsys):
    write_sweep(method="random", run_cap=12)
    assert run_sweep(Path("sweep.yaml"), runs=20, dry_run=True, preflight=lambda *_: None) == 0
    lines = capsys.readouterr().out.splitlines()
    unknown = "cost unknown, because no run of this experiment has finished: --measure times a few steps"
    assert lines[0] == f"sweep: random, 12 runs, 0 done; {unknown}"
    assert len(lines) == 13
    assert run_status(Path("sweep.yaml"), runs=3) == 0
    assert "sweep: 3 runs: 3 not started" in capsys.readouterr().out
    write_sweep()
    assert run_sweep(Path("sweep.yaml"), runs=20, dry_run=True, preflight=lambda *_: None) == 0
    bayes = capsys.readouterr().out.splitlines()
    assert bayes[1:-1] == lines[1 : STARTUP + 1]
    assert bayes[-1] == f"The other {20 - STARTUP} trials depend on the results of these."
    assert not Path("runs").exists()


def finish(job, **metrics):
    job.folder.mkdir(parents=True, exist_ok=True)
    write_json(job.folder / "result.json", {"status": "finished", "metrics": metrics})


def bayes_queue(sweep, workers):
    jobs = plan(sweep)

    def extend(points):
        return make_jobs(sweep, [sweep.trial_at(point) for point in points])

    return BayesQueue(sweep, jobs, jobs, total=20, workers=workers, extend=extend)


def test_a_bayesian_trial_waits_for_the_trials_that_it_depends_on(write_sweep):
    queue = bayes_queue(write_sweep(run_cap=20), workers=3)
    first = [queue.take() for _ in range(STARTUP)]
    for job in [*first[:5], first[7]]:  # 5 and 6 are active
        finish(job, **{"val/map_50": 1.0})
        queue.ended(job)
    assert queue.take() is None  # trial 8 needs 0 to 5
    assert not queue.exhausted
    queue.ended(first[5])  # without a result: a failure, so one result is missing for a model
    assert queue.take().trial.point == queue.jobs[STARTUP].trial.point
    assert queue.take() is None  # trial 9 needs 6


def test_results_that_are_not_finite_numbers_are_failures(write_sweep):
    job = plan(write_sweep(run_cap=1))[0]
    assert job.score("val/map_50") is None
    for value in (math.nan, None, math.inf):
        finish(job, **{"val/map_50": value})
        assert job.score("val/map_50") is None
    finish(job, other=1.0)
    assert job.score("val/map_50") is None
    finish(job, **{"val/map_50": 0.5})
    assert job.score("val/map_50") == 0.5


@pytest.mark.parametrize(("goal", "values"), [("maximize", (0.4, 0.5)), ("minimize", (0.6, 0.5))])
def test_nothing_starts_once_the_target_is_reached(write_sweep, goal, values):
    sweep = write_sweep(method="grid", parameters={"a": {"values": [1, 2, 3, 4]}},
                        metric={"name": "m", "goal": goal, "target": 0.5})  # fmt: skip
    jobs = plan(sweep)
    queue = make_queue(sweep, jobs, jobs, 1)
    for job, value in zip(jobs, values, strict=False):
        assert queue.take() is job
        assert not queue.exhausted
        finish(job, m=value)
        queue.ended(job)
    assert queue.exhausted
    assert queue.take() is None
    assert UntilTarget(queue, sweep.metric, jobs).exhausted  # also in a later call


def trials_of(group):
    return [arm["values"] for arm in read_json(group / "sweep.json")["arms"]]


@pytest.mark.slow
def test_a_killed_search_continues_with_the_same_trials(write_sweep, tmp_path, monkeypatch):
    """An undisturbed sweep and a sweep whose runner is killed twice make the same trials."""
    parameters = {"model.lr": {"min": 0.1, "max": 0.9}, "other": {"min": 0, "max": 3}, "seed_everything": {"value": 1}}
    write_sweep(parameters, {"sleep": 0.1}, run_cap=STARTUP + 4)
    assert run_sweep(Path("sweep.yaml"), workers=2, preflight=lambda *_: None) == 0
    undisturbed = trials_of(Path("runs/study"))
    assert len(undisturbed) == STARTUP + 4
    (tmp_path / "second").mkdir()
    monkeypatch.chdir(tmp_path / "second")
    write_sweep(parameters, {"sleep": 0.1}, run_cap=STARTUP + 4)
    for done in (3, STARTUP + 2):
        runner = subprocess.Popen(runner_command(workers=2), stdout=subprocess.DEVNULL)
        while runner.poll() is None and len(list(Path("runs/study").glob("*/result.json"))) < done:
            pass
        runner.kill()
        runner.wait()
    assert run_sweep(Path("sweep.yaml"), workers=2, preflight=lambda *_: None) == 0
    assert trials_of(Path("runs/study")) == undisturbed
    assert len(list(Path("runs/study").glob("*/result.json"))) == STARTUP + 4
    assert {path.parent.name for path in Path("runs/study").glob("*/starts.txt")} == {
        path.parent.name for path in (tmp_path / "runs/study").glob("*/starts.txt")
    }


def test_importing_the_search_does_not_import_optuna_or_torch():
    heavy = "('torch', 'optuna', 'scipy')"
    code = f"import sys, lit_cv.ablation.sweep.search; sys.exit(any(n in sys.modules for n in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

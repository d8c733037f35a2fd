from collections import Counter

import pytest
from scipy import stats

from lit_cv.ablation.sweep.distributions import make_distribution
from lit_cv.ablation.sweep.search import Trials
from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.errors import UserError

SAMPLES = 2000
ALPHA = 0.001  # significance level of each of 20 tests
CONTINUOUS = {  # block of the sweep, and its distribution in scipy
    "uniform": ({"min": -1.0, "max": 3}, stats.uniform(-1, 4)),
    "uniform by name": ({"distribution": "uniform", "min": 1, "max": 3}, stats.uniform(1, 2)),
    "log_uniform": (
        {"distribution": "log_uniform", "min": -3, "max": 2},
        stats.loguniform(0.0497870684, 7.389056),
    ),
    "log_uniform_values": ({"distribution": "log_uniform_values", "min": 0.001, "max": 1}, stats.loguniform(0.001, 1)),
    "inv_log_uniform": ({"distribution": "inv_log_uniform", "min": 0, "max": 2}, stats.loguniform(0.1353352832, 1)),
    "inv_log_uniform_values": (
        {"distribution": "inv_log_uniform_values", "min": 0.01, "max": 10},
        stats.loguniform(0.01, 10),
    ),
    "normal": ({"distribution": "normal", "mu": 2, "sigma": 0.5}, stats.norm(2, 0.5)),
    "normal by default": ({"distribution": "normal"}, stats.norm(0, 1)),
    "log_normal": ({"distribution": "log_normal", "mu": 1, "sigma": 0.5}, stats.lognorm(0.5, scale=2.718281828)),
    "beta": ({"distribution": "beta", "a": 2, "b": 5}, stats.beta(2, 5)),
}
QUANTIZED = {
    "q_uniform": ({"distribution": "q_uniform", "min": 0, "max": 10, "q": 2}, stats.uniform(0, 10), 2),
    "q_log_uniform": (
        {"distribution": "q_log_uniform", "min": 0, "max": 3, "q": 1},
        stats.loguniform(1, 20.08553),
        1,
    ),
    "q_log_uniform_values": (
        {"distribution": "q_log_uniform_values", "min": 1, "max": 100, "q": 5},
        stats.loguniform(1, 100),
        5,
    ),
    "q_normal": ({"distribution": "q_normal", "mu": 5, "sigma": 2, "q": 0.5}, stats.norm(5, 2), 0.5),
    "q_log_normal": ({"distribution": "q_log_normal", "q": 0.25}, stats.lognorm(1), 0.25),
    "q_beta": ({"distribution": "q_beta", "a": 2, "b": 2, "q": 0.125}, stats.beta(2, 2), 0.125),
}
LEVELS = {
    "int_uniform": ({"min": -2, "max": 3}, dict.fromkeys(range(-2, 4), 1 / 6)),
    "categorical": ({"values": ["a", "b", "c"]}, dict.fromkeys("abc", 1 / 3)),
    "probabilities": ({"values": ["a", "b", "c"], "probabilities": [0.7, 0.0, 0.3]}, {"a": 0.7, "c": 0.3}),
}


@pytest.fixture(scope="module")
def columns(tmp_path_factory):
    """Map each parameter of a random sweep over all distributions to its values in the trials."""
    blocks = {name: block for group in (CONTINUOUS, QUANTIZED, LEVELS) for name, (block, *_) in group.items()}
    blocks["nested"] = {"parameters": {"inner": {"min": 0.0, "max": 1.0}, "fixed": {"value": 3}}}
    file = tmp_path_factory.mktemp("sweep") / "sweep.yaml"
    file.write_text(str({"method": "random", "command": ["fit", "${args}"], "parameters": blocks}))
    sweep = load_sweep(file)
    trials = Trials(sweep)
    assert all(trials.add_random() for _ in range(SAMPLES))
    values = [sweep.trial_at(point).values for point in trials.points]
    return {name: [trial[name] for trial in values] for name in values[0]}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_samples_follow_the_distribution(columns, name):
    distribution = CONTINUOUS[name][1]
    assert stats.kstest(columns[name], distribution.cdf).pvalue > ALPHA
    assert all(distribution.support()[0] - 1e-9 <= value <= distribution.support()[1] + 1e-8 for value in columns[name])


def test_nested_parameters_are_sampled_and_named_with_dots(columns):
    assert stats.kstest(columns["nested.inner"], stats.uniform.cdf).pvalue > ALPHA
    assert set(columns["nested.fixed"]) == {3}


@pytest.mark.parametrize("name", QUANTIZED)
def test_quantized_samples_are_the_nearest_multiples(columns, name):
    _, distribution, q = QUANTIZED[name]
    counts = Counter(columns[name])
    assert all(type(value) is type(q) and value % q == 0 for value in counts)
    expected = {value: distribution.cdf(value + q / 2) - distribution.cdf(value - q / 2) for value in counts}
    common = [value for value in counts if expected[value] * SAMPLES > 10]
    assert len(common) >= 5
    rest = 1 - sum(expected[value] for value in common)
    observed = [*(counts[value] for value in common), SAMPLES - sum(counts[value] for value in common)]
    shares = [*(expected[value] for value in common), rest]
    kept = [(o, s * SAMPLES) for o, s in zip(observed, shares, strict=True) if s * SAMPLES > 1e-6]
    assert stats.chisquare(*zip(*kept, strict=True)).pvalue > ALPHA


@pytest.mark.parametrize("name", LEVELS)
def test_levels_are_sampled_with_their_probabilities(columns, name):
    shares = LEVELS[name][1]
    counts = Counter(columns[name])
    assert counts.keys() == shares.keys()
    assert stats.chisquare([counts[v] for v in shares], [p * SAMPLES for p in shares.values()]).pvalue > ALPHA


def test_the_ends_of_an_axis_are_the_bounds():
    assert make_distribution({"min": 0.1, "max": 3.0}).value(0.0) == 0.1
    assert make_distribution({"distribution": "log_uniform_values", "min": 0.1, "max": 0.7}).value(1.0) == 0.7
    assert -5 < make_distribution({"distribution": "normal"}).value(0.0) < -4


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"min": 2, "max": 1}, "has `min` 2 and `max` 1; `min` must be less than `max`"),
        ({"min": 1.0, "max": 1.0}, "must be less than `max`"),
        ({"distribution": "log_uniform_values", "min": 0, "max": 1}, "a logarithm needs numbers above 0"),
        ({"distribution": "log_uniform", "min": 1, "max": 1000}, "too large for a number; log_uniform_values takes"),
        ({"distribution": "uniform", "min": 1}, "has the distribution uniform, which needs `max`"),
        (
            {"distribution": "normal", "min": 1},
            "has `min`, which the distribution normal does not take; it takes mu",
        ),
        ({"distribution": "normal", "sigma": 0}, "has `sigma` 0; write a number above 0"),
        ({"distribution": "q_uniform", "min": 0, "max": 1, "q": 0}, "has `q` 0; write a number above 0"),
        ({"distribution": "gauss"}, "has the distribution 'gauss', which does not exist; write one of constant"),
        ({"distribution": "q_inv_log_uniform", "min": 0, "max": 1}, "which does not exist"),
        ({"distribution": "int_uniform", "min": 0, "max": 1.5}, "write integers, or uniform"),
        ({"distribution": "uniform", "min": "a", "max": 1}, "has `min` 'a', which is not a number"),
        ({"min": "1e-4", "max": 1.0}, "YAML reads as text; write 1.0e-4"),
        ({"min": 1}, "needs exactly one of value, values, parameters, or `min` and `max`"),
        ({"values": [1, 2], "probabilities": [0.5, 0.6]}, "write non-negative numbers that sum to 1"),
        ({"values": [1, 2], "probabilities": [1]}, "as many `probabilities` as `values` (2)"),
        ({"value": 1, "max": 2}, "has `max`, which the distribution constant does not take"),
    ],
)
def test_invalid_blocks_give_one_sentence(tmp_path, block, expected):
    file = tmp_path / "sweep.yaml"
    file.write_text(str({"method": "random", "parameters": {"a": block}}))
    with pytest.raises(UserError) as error:
        load_sweep(file)
    assert str(error.value).startswith(f"{file}: parameter `a` ")
    assert expected in str(error.value)
    assert "\n" not in str(error.value)

import pytest

from lit_cv.ablation.sweep.hyperband import make_hyperband

FIVE = {"a": [10, 9], "b": [10, 10], "c": [10, 8, 8, 3], "d": [10, 7, 7, 4], "e": [10, 6, 6, 6]}


def rule(**settings):
    return make_hyperband({"type": "hyperband", **settings})


def test_rungs_go_up_from_min_iter_and_down_from_max_iter():
    assert rule(min_iter=3).rungs[:4] == (3, 9, 27, 81)
    assert rule(min_iter=2, eta=1.5).rungs[:4] == (2, 3, 4, 6)
    assert rule(max_iter=81, s=3).rungs == (3, 9, 27)
    assert rule(max_iter=18, s=2).rungs == (2, 6)
    assert rule(max_iter=9, s=5).rungs == (1, 3)  # rungs before the first iteration are omitted
    assert rule(max_iter=5, eta=2, s=2).rungs == (1, 2)


def test_one_in_eta_passes_a_rung_and_ties_pass():
    # rung 2 of (2, 4, ...): the losses are 9, 10, 8, 7, 6; sorted, the one at int(5 / 2) is 8
    by_hand = rule(min_iter=2, eta=2)
    short = {name: losses[:2] for name, losses in FIVE.items()}
    assert by_hand.stops(short, short, maximize=False) == ["a", "b"]
    assert by_hand.stops(short, {"b", "c"}, maximize=False) == ["b"]
    assert by_hand.stops({"a": [1, 1], "b": [1, 1]}, {"a", "b"}, maximize=False) == []


def test_a_run_is_compared_only_at_its_last_rung():
    # rungs 1 and 3 (and none later) of max_iter 9: at 3 the losses are 8, 7, 6 and the threshold is the second best, 7
    assert rule(max_iter=9, s=2).stops(FIVE, FIVE, maximize=False) == ["c"]
    # "a" and "b" are at rung 1, where all losses are 10


def test_without_strict_the_best_value_so_far_counts():
    # "c" recovers to 3 in its fourth iteration, which is too late with `strict`
    assert rule(max_iter=9, s=2, strict=False).stops(FIVE, FIVE, maximize=False) == []
    worse = FIVE | {"c": [10, 8, 8, 8]}
    assert rule(max_iter=9, s=2, strict=False).stops(worse, worse, maximize=False) == ["c"]


def test_maximize_is_the_mirror_image():
    negated = {name: [-loss for loss in losses] for name, losses in FIVE.items()}
    assert rule(max_iter=9, s=2).stops(negated, negated, maximize=True) == ["c"]


def test_nothing_stops_before_the_first_rung_and_a_single_run_never():
    assert rule(min_iter=3).stops({"a": [1, 1], "b": [9, 9]}, {"a", "b"}, maximize=False) == []
    assert rule(min_iter=1).stops({"a": [5, 6, 7, 8]}, {"a"}, maximize=False) == []


def test_values_that_are_not_finite_are_not_iterations():
    histories = {"a": [1.0, 1.0, 1.0], "b": [5.0, float("nan"), float("nan"), float("nan")]}
    assert rule(min_iter=2).stops(histories, histories, maximize=False) == []
    assert rule(min_iter=1).stops(histories, histories, maximize=False) == ["b"]


def test_defaults_equal_those_of_wandb():
    assert (rule(min_iter=1).eta, rule(min_iter=1).strict) == (3, True)
    with pytest.raises(ValueError, match="needs `min_iter`"):
        rule(min_iter=0)

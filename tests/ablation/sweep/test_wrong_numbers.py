from pathlib import Path

import pytest

from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.errors import UserError

HEAD = 'command: ["${interpreter}", -m, lit_cv, fit, "${args}"]\nmetric: {name: val/map, goal: maximize}\n'
A = "method: random\nparameters: {a: {min: 0, max: 9}}\n"
LARGE = {
    "method: grid\nparameters: {a: {min: 0, max: 4294967296}}": "`a` has more than 100,000 values",
    "method: grid\nparameters: {a: {min: 0, max: 999}, b: {min: 0, max: 999}}": "its grid has 1,000,000 runs",
    "method: grid\nparameters: {a: {distribution: q_uniform, min: 0, max: 1, q: 1.0e-300}}": "cannot enumerate",
    "method: random\nparameters: {a: {min: 0, max: 18446744073709551616}}": "`a` is int_uniform .* write uniform",
    f"method: random\nparameters: {{a: {{min: 0.5, max: 1{'0' * 400}}}}}": "`a` has `max` 10+, which is not a number",
    f"{A}run_cap: 9223372036854775808": "`run_cap` is 9.*; write at most",
    f"{A}early_terminate: {{type: hyperband, min_iter: .inf}}": "`min_iter` is inf",
    f"{A}early_terminate: {{type: hyperband, min_iter: 1, eta: .inf}}": "has `eta` inf",
}


@pytest.mark.parametrize("text", LARGE, ids=LARGE.values())
def test_a_number_that_is_too_large_is_refused_at_once(text: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(f"{HEAD}{text}\n")
    with pytest.raises(UserError, match=f"sweep.yaml: .*{LARGE[text]}"):
        load_sweep(tmp_path / "sweep.yaml")


@pytest.mark.parametrize("seeds", ["values: [[1], [2]]", "value: {a: 1}", "value: []"])
def test_a_seed_that_is_no_number_is_refused(seeds: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(f"{HEAD}method: grid\nparameters: {{seed_everything: {{{seeds}}}}}\n")
    with pytest.raises(UserError, match=r"`seed_everything` has the value .*; write whole numbers"):
        load_sweep(tmp_path / "sweep.yaml")


def test_large_but_possible_numbers_are_accepted(tmp_path: Path) -> None:
    text = "method: random\nparameters: {a: {min: 0, max: 4294967296}}\n"
    more = "early_terminate: {type: hyperband, min_iter: 1, eta: 1.0e+9}\n"
    (tmp_path / "sweep.yaml").write_text(HEAD + text + more)
    hyperband = load_sweep(tmp_path / "sweep.yaml").hyperband
    assert hyperband is not None
    assert hyperband.rungs[:2] == (1, 10**9)

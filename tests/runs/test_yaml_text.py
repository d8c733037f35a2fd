from pathlib import Path

import pytest

from lit_cv.errors import UserError
from lit_cv.runs.files import read_yaml
from lit_cv.runs.yaml_text import parse_yaml
from tests.console.console import litcv

BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdef", "bcdefg", strict=True)
)
REFUSED = {
    "a: 2024-13-45": "month must be in 1..12",
    "a: !!bool x": "a scalar does not fit its tag: 'x'",
    "a: !!int ''": "a scalar does not fit its tag",
    "a: !!timestamp x": "a scalar does not fit its tag",
    "a: 0x_": "invalid literal for int",
    "a: [1": "while parsing a flow sequence",
    "? [a]\n: b": "unhashable key",
    "a: &a [*a]": "more than 100 levels of nesting",
    BOMB: "its aliases stand for more than 100,000 values",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:20])
def test_every_complaint_of_the_parser_is_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UserError, match=f"a.yaml: not valid YAML .*{REFUSED[text]}") as raised:
        read_yaml(tmp_path / "a.yaml")
    assert "\n" not in str(raised.value)
    for verb in (["sweep"], ["fit"]):
        code, _, errors = litcv(*verb, str(tmp_path / "a.yaml"))
        assert (code, len(errors)) == (1, 1)
        assert "not valid YAML" in errors[0]


def test_plain_values_and_aliases_are_read() -> None:
    assert parse_yaml("a: &a [1, 2.5]\nb: *a") == {"a": [1, 2.5], "b": [1, 2.5]}
    assert parse_yaml("1.0e-4") == 1e-4

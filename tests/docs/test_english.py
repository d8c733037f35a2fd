"""The texts of the project are plain English: no private dialect, and docstrings that open with a verb or a noun."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("lit_cv", "datamodules", "tests", "benchmarks", "docs", "experiments", "sweeps")
# In halves, so that this file holds none of them.
HALVES = "men+d(s|ed|ing)? an+ew stands?_+in goes_+on has_not_+got so_+many what+ever who+m of_+equals"
WORDS = re.compile(rf"\b({HALVES.replace('+', '').replace(' ', '|').replace('_', ' ')})\b", re.IGNORECASE)
OPENING = re.compile(r'"""(What|Which|Where|Who|How|Of|That) ')


def texts() -> dict[str, str]:
    paths = [path for part in PARTS for path in (ROOT / part).rglob("*.*") if path.suffix in (".py", ".md", ".yaml")]
    paths += [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", "pyproject.toml")]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}


@pytest.mark.parametrize("rule", [WORDS, OPENING], ids=["dialect", "openings"])
def test_texts_are_plain(rule: re.Pattern[str]) -> None:
    found = [f"{name}: {match.group()}" for name, text in texts().items() for match in rule.finditer(text)]
    assert found == []


def test_the_rules_find_what_they_forbid() -> None:
    for word in ("men" + "ding", "goes" + " on", "stand" + " in", "of" + " equals", "who" + "m"):
        assert WORDS.search(f"It {word} it.")
    assert WORDS.search("amended, whomever") is None
    assert OPENING.search('def f():\n    """Of' + ' trials."""')

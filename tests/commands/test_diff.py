"""`litcv diff`: in what two runs differ."""

import subprocess
from pathlib import Path

import pytest

from lit_cv.ablation.pair import compare, load
from lit_cv.cli import main
from lit_cv.commands.diff import lines_of
from tests.helpers.fake_project import change, write_run

LONG = "/a/very/long/path/to/the/pictures/of/a/data/set/" + "x" * 40


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two equal runs in a repository of two commits; their configurations name their own folders."""
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init", "-q")
    for text in ("1", "2\n3\n"):
        (tmp_path / "network.py").write_text(text)
        git(tmp_path, "add", "network.py")
        git(tmp_path, "commit", "-q", "-m", "x")
    folders = Path("runs/g/0000000001"), Path("runs/g/0000000002")
    for folder in folders:
        config = {"model": {"lr": 0.1, "network": {"scales": [48]}}, "trainer": {"log": f"{folder}/log"}}
        write_run(folder, seed=1, config=config)
        change(folder, git={"commit": git(tmp_path, "rev-parse", "HEAD"), "dirty": False})
    return folders


def diff(capsys: pytest.CaptureFixture[str], *folders: Path) -> tuple[int, list[str], str]:
    capsys.readouterr()
    code = main(["diff", *map(str, folders)])
    output, errors = capsys.readouterr()
    return code, output.splitlines(), errors.strip()


def test_equal_runs_are_said_to_be_equal(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines, _ = diff(capsys, *runs)
    assert code == 0
    assert lines[:2] == [f"A  {runs[0]}", f"B  {runs[1]}"]
    assert lines[3:] == ["The runs are equal in settings, data, code, versions, hardware, steps and metrics."]
    code, lines, error = diff(capsys, runs[0], tmp_path / runs[0])
    assert (code, lines) == (2, [])
    assert "are the same folder; give two runs" in error


def test_each_kind_of_difference_has_both_values(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    first, second = runs
    config = {"model": {"lr": 0.2, "network": {"scales": [24, 48]}, "new": None}, "trainer": {"log": f"{second}/log"}}
    write_run(second, seed=2, config=config, score=0.625)
    change(
        second,
        git={"commit": git(Path(), "rev-parse", "HEAD~1"), "dirty": True},
        data={"fingerprint": "1234", "counts": {"images": 12}},
        versions={"python": "3.12.1", "torch": "2.15.0"},
        hardware={"device": "a GPU", "devices": 1, "threads": 2},
        steps=100,
        metrics={"val/map_50": 0.625, "val/map": None, "val/new": 1.0},
    )
    code, lines, _ = diff(capsys, first, second)
    assert code == 0
    found = [line.split() for line in lines]
    for row in (
        ["settings:", "4", "of", "5", "differ"],
        ["seed_everything", "1", "2"],
        ["model.lr", "0.1", "0.2"],
        ["model.network.scales", "48", "24", "48"],
        ["model.new", "–", "null"],
        ["fingerprint", "9f8e7d6c", "1234"],
        ["images", "10", "12"],
        ["dirty", "false", "true"],
        ["Uncommitted", "changes", "of", "B", "are", "not", "recorded."],
        ["network.py", "|", "3", "+--"],
        ["python", "3.11.7", "3.12.1"],
        ["device", "a", "CPU", "a", "GPU"],
        ["steps", "200", "100"],
        ["time", "60", "s", "60", "s"],
        ["metrics:", "4", "of", "4", "differ"],
        ["val/map_50", "0.5", "0.625", "+0.125"],
        ["val/map", "0.25", "not", "finite"],
        ["val/new", "–", "1"],
    ):
        assert row in found, row


def test_code_outside_the_repository_is_said(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    change(runs[1], git={"commit": "1" * 40, "dirty": False})
    assert any(f"no commit {'1' * 40} in the repository here" in line for line in diff(capsys, *runs)[1])
    for run in runs:
        change(run, git={"commit": None, "dirty": False})
    lines = diff(capsys, *runs)[1]
    assert "  Without a commit, nothing is known of the code." in lines
    assert not any("The runs are equal" in line for line in lines)


def test_a_run_without_a_result_is_compared_as_far_as_it_came(
    runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    text = (runs[1] / "result.json").read_text().replace('"finished"', '"running"')
    (runs[1] / "run.json").write_text(text.replace('"id"', '"started": "2026-01-01T00:00:00Z", "id"'))
    (runs[1] / "result.json").unlink()
    (runs[1] / "run.json").write_text((runs[1] / "run.json").read_text().replace('"metrics"', '"others"'))
    code, lines, _ = diff(capsys, *runs)
    assert code == 0
    assert "metrics: B has no result yet" in lines
    assert ["status", "finished", "running"] in [line.split() for line in lines]


def test_a_terminal_of_80_columns_has_no_longer_line(runs: tuple[Path, Path]) -> None:
    config = {"model": {"lr": 0.1, "network": {"scales": [48]}}, "data": {"root": LONG}}
    write_run(runs[1], seed=1, config=config)
    sections = compare(*map(load, runs))
    text = "\n".join(line for section in sections for line in lines_of(section, 80)).splitlines()
    assert max(map(len, text)) <= 80
    assert "    A  –" in text
    assert LONG in "".join(line.strip() for line in text)
    assert any(line.endswith(LONG) for section in sections for line in lines_of(section, None))

"""Every command of README.md and docs/ runs on small settings or is accepted by the parser that would read it."""

import shutil
import textwrap
from pathlib import Path

import pytest

from tests.helpers.doc_blocks import (
    MARKERS,
    PAGES,
    ROOT,
    blocks_of,
    changes_package,
    hidden_commands,
    read_blocks,
)
from tests.helpers.doc_parsing import Wrong, check
from tests.helpers.small_project import SmallProject

BLOCKS = {page: blocks_of(page) for page in PAGES}
CHANGES_PACKAGE = [page for page in PAGES if changes_package(BLOCKS[page])]
PARSED_PAGES = [page for page in PAGES if page not in CHANGES_PACKAGE]
SHELL_BLOCKS = [(page, block) for page in PARSED_PAGES for block in BLOCKS[page] if block.is_shell]
RUN_PAGES = [page for page in PAGES if any(block.marker == "run" for block in BLOCKS[page])]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    return SmallProject(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which commands are parsed: the project's YAML files, and those that pages define."""
    folder = tmp_path_factory.mktemp("checkout")
    for part in ("experiments", "sweeps"):
        shutil.copytree(ROOT / part, folder / part)
    for page in PAGES:
        for block in BLOCKS[page]:
            if block.title:
                (folder / block.title).parent.mkdir(parents=True, exist_ok=True)
                (folder / block.title).write_text("\n".join(block.lines) + "\n")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN_PAGES, ids=name_of)
def test_the_marked_blocks_of_a_page_run_from_first_to_last(page: Path, project: SmallProject) -> None:
    assert project.run_page(BLOCKS[page])


@pytest.mark.parametrize("block", [block for _, block in SHELL_BLOCKS], ids=lambda block: block.place)
def test_every_command_is_accepted_by_its_parser(block, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    monkeypatch.syspath_prepend(checkout)  # for classes that the page defines
    assert block.commands, f"{block.place} is a block of commands without a command"
    for command in block.commands:
        check(command)


def test_a_page_that_changes_the_package_runs_all_its_commands() -> None:
    for page in CHANGES_PACKAGE:  # the parsers of the package as it is would refuse them
        assert [block.place for block in BLOCKS[page] if block.is_shell and block.marker != "run"] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_command_hides_from_these_tests(page: Path) -> None:
    assert hidden_commands(page.read_text(encoding="utf-8")) == []
    for block in BLOCKS[page]:
        assert block.language, f"{block.place} names no language; write `text` for what is no command"
        assert block.marker in (None, *MARKERS), f"{block.place}: unknown marker `{block.marker}`"
        assert block.marker is None or block.is_shell, f"{block.place}: only blocks of commands are run"


WRONG = {
    "unknown verb": "litcv trane --config experiments/quickstart/ssd.yaml",
    "unknown option of a verb": "litcv sweep sweeps/quickstart.yaml --wokers 2",
    "unknown value of an option": "litcv sweep sweeps/quickstart.yaml --executor slrm",
    "unknown setting": "litcv fit --config experiments/quickstart/ssd.yaml --model.network.backbne=vgg16",
    "wrong type of a setting": "litcv fit --config experiments/quickstart/ssd.yaml --data.batch_size=many",
    "missing experiment": "litcv fit --config experiments/quickstart/sdd.yaml",
    "unknown setting of another verb": "litcv doctor experiments/quickstart/ssd.yaml --data.rot=data",
    "missing sweep": "litcv sweep sweeps/quikstart.yaml",
    "unknown option of a script": "python benchmarks/front_door.py --runds 3",
    "missing script": "python benchmarks/back_door.py",
    "unknown target": "make dmeo",
    "unknown option of pytest": "python -m pytest --lnog",
    "unknown option of W&B": "wandb sync --everythin",
    "unknown program": "lit-cv fit --config experiments/quickstart/ssd.yaml",
    "placeholder": "litcv validate runs/quickstart-ssd/<id>",
}


@pytest.mark.parametrize("command", WRONG.values(), ids=WRONG)
def test_a_wrong_command_is_found(command: str, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    with pytest.raises((Wrong, AssertionError)):
        check(command)


def test_a_sweep_of_a_page_with_a_wrong_setting_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "sweeps/quickstart.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text.replace("anchor_scales", "anchor_scale"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    with pytest.raises(Wrong, match="anchor_scale"):
        check("litcv sweep mine.yaml --dry-run")


def test_a_command_that_fails_is_found(project: SmallProject) -> None:
    page = """
        <!-- test: run -->
        ```bash
        litcv validate runs/never-trained
        ```
    """
    with pytest.raises(AssertionError, match=r"page.md:3: `litcv validate runs/never-trained` exits with 1"):
        project.run_page(read_blocks(textwrap.dedent(page), "page.md"))


def test_blocks_are_found_with_marker_title_and_continued_lines() -> None:
    page = """
        <!-- test: run -->

        ```bash
        litcv fit \\
            --config a.yaml  # a comment
        # another

        litcv report runs/a
        ```

        ```yaml title="sweeps/mine.yaml"
        method: grid
        ```

        ```console
        $ litcv --help
        usage: litcv
        ```
    """
    first, second, third = read_blocks(textwrap.dedent(page), "page.md")
    assert (first.place, first.marker, first.title) == ("page.md:4", "run", None)
    assert [command.split("#")[0].split() for command in first.commands] == [
        ["litcv", "fit", "--config", "a.yaml"],
        ["litcv", "report", "runs/a"],
    ]
    assert (second.title, second.lines, second.marker) == ("sweeps/mine.yaml", ("method: grid",), None)
    assert third.commands == ["litcv --help"]


@pytest.mark.parametrize(
    "page",
    ["    litcv fit --config a.yaml", "```text\nlitcv fit --config a.yaml\n```", "```text\nA=1 make demo\n```"],
    ids=["indented", "fenced as text", "with a variable"],
)
def test_a_command_outside_a_block_of_commands_is_found(page: str) -> None:
    assert len(hidden_commands(f"A page.\n\n{page}\n")) == 1

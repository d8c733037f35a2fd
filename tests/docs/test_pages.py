"""The lists of the documentation are complete: files, links, variables, experiments, sweeps and data sets."""

import re
from pathlib import Path

import pytest
import yaml

import datamodules
from lit_cv.cli import _parser
from lit_cv.models.backbones.families import NAMES
from tests.helpers.doc_blocks import PAGES, ROOT, blocks_of

README = ROOT / "README.md"
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
NAMED = re.compile(r"`((?:benchmarks|datamodules|experiments|lit_cv|sweeps|tests)/[\w/.-]*\w)`")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
# `os.environ["NAME"]`, `getenv("NAME")`, `setenv("NAME"`, `"NAME" in os.environ`, `environ | {"NAME": ...}`, `$NAME`
VARIABLES = (
    r'environ(?:\.\w+)?[\[(]\s*"([A-Z][A-Z0-9_]+)"',
    r'(?:getenv|setenv|delenv)\(\s*"([A-Z][A-Z0-9_]+)"',
    r'"([A-Z][A-Z0-9_]+)" (?:not )?in os\.environ',
    r'"((?:CUDA|GLOO|JSONARGPARSE|LITCV|LOCAL|MASTER|NETRC|NO|NODE|NUMBA|OMP|PL|RANK|SLURM|TORCH|WANDB|WORLD|XDG)_?[A-Z0-9_]*)"',
    r"\$\{?((?:CUDA|LITCV|NUMBA|OMP|SLURM|TORCH|WANDB|XDG)_[A-Z0-9_]+)",
    r"(?:export|unset) ([A-Z][A-Z0-9_]+)",
    r"^\t([A-Z][A-Z0-9_]+)=",
)
SOURCES = (
    "lit_cv/**/*.py",
    "datamodules/**/*.py",
    "tests/**/*.py",
    "tests/**/*.sh",
    "benchmarks/*.py",
    ".ci/run",
    "Makefile",
)
NO_VARIABLES = {"DATA_ROOT", "NAME", "NODE_FAIL", "RUN"}  # a test's own, placeholders, a state of Slurm
# read by a library or by make itself, so that the code does not name them
OF_LIBRARIES = {"TORCH_HOME", "PYTHON", "WORLD_SIZE"}


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as MkDocs and GitHub make them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip().lower() for heading in headings]
    return {re.sub(r"[\s-]+", "-", heading) for heading in plain}


def test_the_readme_is_short() -> None:
    assert len(README.read_bytes()) <= 8_000


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in LINK.findall(CODE.sub("", page.read_text(encoding="utf-8"))):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name_of(page)} links to {target}"
        assert not anchor or anchor in anchors(file), f"{name_of(page)} links to {target}, which has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_named_file_exists(page: Path) -> None:
    blocks = blocks_of(page)
    written = {block.title for block in blocks}
    named = set(NAMED.findall(page.read_text(encoding="utf-8")))
    assert {name for name in named - written if not (ROOT / name).exists()} == set()


def test_pictures_are_small() -> None:
    for picture in (ROOT / "docs").rglob("*.png"):
        assert picture.stat().st_size <= 200_000, picture


def test_every_experiment_is_listed() -> None:
    text = (ROOT / "docs/experiments.md").read_text(encoding="utf-8")
    files = {f"{file.parent.name}/{file.stem}" for file in ROOT.glob("experiments/*/*.yaml")}
    listed = set(re.findall(r"`([a-z_]+/[a-z0-9_]+)`", text)) - {"timm/resnet18"}
    assert listed == files


def test_every_sweep_is_listed_and_so_is_what_was_published() -> None:
    text = (ROOT / "docs/sweeps.md").read_text(encoding="utf-8").partition("## All sweep files")[2]
    rows = [row.split(" | ") for row in re.findall(r"^\| `.*$", text, re.MULTILINE)]
    listed = {name: row[-1] for row in rows for name in re.findall(r"`([a-z0-9_/]+)`", row[0])}
    files = {file.relative_to(ROOT / "sweeps").with_suffix("").as_posix() for file in ROOT.glob("sweeps/**/*.yaml")}
    assert set(listed) == files
    for name, published in listed.items():
        has_numbers = (ROOT / f"sweeps/published/{name}.csv").exists()
        assert not (has_numbers and published.strip(" |") == "none"), name


def test_every_backbone_is_listed() -> None:
    text = (ROOT / "docs/experiments.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`(\w+)`", text.partition("## Backbones")[2].partition("##")[0]))
    assert {name.removesuffix("_bn") for name in NAMES} - listed == set()


def test_every_data_set_is_listed() -> None:
    text = (ROOT / "docs/data/index.md").read_text(encoding="utf-8")
    modules = {name for name in datamodules.__all__ if name.endswith("DataModule")}
    assert set(re.findall(r"`datamodules\.(\w+)`", text)) == modules


def test_every_environment_variable_is_listed() -> None:
    found: set[str] = set()
    for pattern in SOURCES:
        for file in ROOT.glob(pattern):
            text = file.read_text(encoding="utf-8")
            found |= {name for regex in VARIABLES for name in re.findall(regex, text, re.MULTILINE)}
    table = re.findall(r"^\| (`[^|]*) \|", (ROOT / "docs/environment.md").read_text(encoding="utf-8"), re.MULTILINE)
    listed = {name for cell in table for name in re.findall(r"`([A-Z0-9_]+)`", cell)}
    assert found - NO_VARIABLES - listed == set(), "not on docs/environment.md"
    assert listed - found - OF_LIBRARIES == set(), "on docs/environment.md, but not in the code"


def test_every_page_is_in_the_navigation() -> None:
    lines = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    nav = [target for entry in yaml.safe_load(lines)["nav"] for target in entry.values()]
    for page in PAGES[1:]:
        path = page.relative_to(ROOT / "docs").as_posix()
        assert path in nav or f"{path.rpartition('/')[0]}/" in nav, path


def test_the_table_of_verbs_is_complete() -> None:
    verbs = next(action.choices for action in _parser()._actions if isinstance(action.choices, dict))
    section = (ROOT / "docs/get-started.md").read_text().partition("## All verbs")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(cells))) == sorted(verbs)

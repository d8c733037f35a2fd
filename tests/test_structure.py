"""The rules of the layout, measured by ``benchmarks/structure.py``."""

from pathlib import Path

import pytest

from benchmarks.structure import Tree

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree(ROOT)


def test_no_file_is_longer_than_400_lines() -> None:
    parts = ("lit_cv", "datamodules", "tests", "benchmarks")
    paths = [path for part in parts for path in (ROOT / part).rglob("*.py")]
    assert len(paths) > 200
    assert not [str(path) for path in paths if len(path.read_text().splitlines()) > 400]


def test_no_function_is_longer_than_80_lines(tree: Tree) -> None:
    functions = tree.functions()
    assert len(functions) > 1000
    assert {name: lines for name, lines in functions.items() if lines > 80} == {}


def test_no_folder_has_more_than_20_files(tree: Tree) -> None:
    folders = tree.folders("lit_cv", "datamodules", "tests")
    assert len(folders) > 20
    assert {folder: count for folder, count in folders.items() if count > 20} == {}


def test_the_root_of_the_package_has_at_most_8_modules(tree: Tree) -> None:
    assert 0 < tree.folders("lit_cv")["lit_cv"] <= 8


def test_no_modules_import_each_other_in_a_circle(tree: Tree) -> None:
    assert sum(map(len, tree.imports.values())) > 500
    assert tree.circles == []


def test_imports_follow_the_layers(tree: Tree) -> None:
    assert tree.without_layer() == []
    assert tree.against_layers() == []


def test_every_violation_is_found(tmp_path: Path) -> None:
    sources = {
        "lit_cv/__init__.py": "",
        "lit_cv/errors.py": "def late():\n    from lit_cv.ops import boxes\n",
        "lit_cv/ops/__init__.py": "",
        "lit_cv/ops/boxes.py": "import lit_cv.errors\nfrom .masks import Mask\n",
        "lit_cv/ops/masks.py": "import typing\nif typing.TYPE_CHECKING:\n    from lit_cv.ops import boxes\n",
        "lit_cv/ablation/plan.py": "from lit_cv.tasks import base\n",
        "lit_cv/tasks/base.py": "from lit_cv.callbacks.pictures import Pictures\n",
        "lit_cv/callbacks/pictures.py": 'class A:\n    """\n    Args:\n        x: One\n            word.\n    """\n',
        "datamodules/base.py": 'class B:\n    """B.\n\n    Args:\n        y: Other.\n        x: One word.\n    """\n',
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    tree = Tree(tmp_path)
    assert tree.circles == [["lit_cv.errors", "lit_cv.ops.boxes"]]
    assert sorted(tree.against_layers()) == [
        "lit_cv.ablation.plan -> lit_cv.tasks.base",
        "lit_cv.errors -> lit_cv.ops.boxes",
        "lit_cv.tasks.base -> lit_cv.callbacks.pictures",
    ]
    assert tree.copied_entries() == {("x", "One word."): 2}
    assert tree.longest_chain() == ["lit_cv.ablation.plan", "lit_cv.tasks.base", "lit_cv.callbacks.pictures"]

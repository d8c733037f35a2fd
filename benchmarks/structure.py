"""The structure of the code as a table: sizes, folders, imports, copied documentation; standard library only.

    python benchmarks/structure.py [--root DIR] [--against DIR]

Prints Markdown, with a column for the older tree ``--against`` if it is given. ``tests/test_structure.py`` asserts the
rules. Definitions:

* Sizes are those of ``lit_cv`` and ``datamodules``. A function's lines run from its ``def`` to its last line, with its
  docstring and with the functions within it; methods are functions.
* A module imports another one where it says so, at its top or within a function. Imports for type checkers alone
  (``if TYPE_CHECKING:``) do not count, nor do packages that Python runs on the way (``lit_cv.ops`` for
  ``lit_cv.ops.boxes``).
* A circle is a group of modules that all import each other, directly or through others. The longest chain is the
  longest path from module to module, with a circle as one step.
* A copied entry is one under ``Args:`` whose name and text are in the docstring of another class, too.
"""

import argparse
import ast
import importlib.util
import re
import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

PACKAGES = ("lit_cv", "datamodules")
LAYERS = (
    ("__main__", "fork_server"),
    ("cli",),
    ("commands",),
    ("training", "ablation", "testing"),
    ("tasks", "callbacks", "bench", "tracking", "exporting", "analysis"),
    ("predictions",),
    ("models", "metrics", "renderers", "pages", "datamodules"),
    ("contract",),
    ("ops", "runs"),
    ("errors", "process_guard", "__init__"),
)
FORBIDDEN = {("ablation", "tasks"), ("ablation", "datamodules")}  # although they are below it
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Tree:
    """A checkout, read once.

    Attributes:
        root: Folder that holds ``lit_cv`` and ``datamodules``.
    """

    root: Path

    @cached_property
    def files(self) -> dict[str, Path]:
        """Module names to files, without ``__init__`` at the end of a package's name."""
        paths = [path for package in PACKAGES for path in sorted((self.root / package).rglob("*.py"))]
        names = [".".join(path.relative_to(self.root).with_suffix("").parts) for path in paths]
        return {name.removesuffix(".__init__"): path for name, path in zip(names, paths, strict=True)}

    @cached_property
    def parsed(self) -> dict[str, ast.Module]:
        """Module names to syntax trees."""
        return {name: ast.parse(path.read_text()) for name, path in self.files.items()}

    def lines(self) -> dict[str, int]:
        """Module names to lines."""
        return {name: len(path.read_text().splitlines()) for name, path in self.files.items()}

    def functions(self) -> dict[str, int]:
        """Functions (``module:name:line``) to lines."""
        return {
            f"{name}:{node.name}:{node.lineno}": (node.end_lineno or node.lineno) - node.lineno + 1
            for name, module in self.parsed.items()
            for node in ast.walk(module)
            if isinstance(node, Function)
        }

    def folders(self, *parts: str) -> Counter[str]:
        """Folders below ``parts`` to the number of Python files directly in them."""
        paths = [path for part in parts for path in (self.root / part).rglob("*.py")]
        return Counter(str(path.parent.relative_to(self.root)) for path in paths)

    @cached_property
    def imports(self) -> dict[str, list[str]]:
        """Modules to the modules of this tree that they import, sorted."""
        found = {name: {self._module(target) for target in self._targets(name)} for name in self.files}
        return {name: sorted(target for target in targets - {None, name} if target) for name, targets in found.items()}

    def _targets(self, name: str) -> Iterator[str]:
        package = name if self.files[name].stem == "__init__" else name.rpartition(".")[0]
        for node in _at_run_time(self.parsed[name]):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                yield from (f"{source}.{alias.name}" for alias in node.names)

    def _module(self, target: str) -> str | None:
        """Return the module that an import names: ``a.b.C`` is of the module ``a.b``."""
        parent = target.rpartition(".")[0]
        return target if target in self.files else parent if parent in self.files else None

    @cached_property
    def circles(self) -> list[list[str]]:
        """Groups of modules that import each other."""
        reached = {name: _reachable(self.imports, name) for name in self.files}
        groups = {tuple(sorted(other for other in reached[name] if name in reached[other])) for name in self.files}
        return sorted(list(group) for group in groups if len(group) > 1)

    def longest_chain(self) -> list[str]:
        """The longest path along imports; a circle is one step, named by its first module."""
        names = {member: circle[0] for circle in self.circles for member in circle}
        edges: dict[str, set[str]] = {}
        for name, targets in self.imports.items():
            edges.setdefault(names.get(name, name), set()).update(names.get(target, target) for target in targets)

        @cache
        def longest(name: str) -> tuple[str, ...]:
            return (name, *max([(), *(longest(target) for target in sorted(edges[name] - {name}))], key=len))

        chain = max((longest(name) for name in sorted(edges)), key=len)
        return list(chain)

    def against_layers(self) -> list[str]:
        """Imports from a part to one that is not below it, or that it must not know; unknown parts are left out."""
        pairs = [(name, target) for name, targets in self.imports.items() for target in targets]
        return [f"{a} -> {b}" for a, b in pairs if _forbidden(_part(a), _part(b))]

    def without_layer(self) -> list[str]:
        """Modules that no layer names."""
        return [name for name in self.files if _part(name) not in RANK]

    def copied_entries(self) -> dict[tuple[str, str], int]:
        """Names and texts of entries under ``Args:`` to the number of classes that have them, from 2 on."""
        nodes = (node for module in self.parsed.values() for node in ast.walk(module))
        classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
        count = Counter(entry for node in classes for entry in set(_argument_entries(ast.get_docstring(node) or "")))
        return {entry: number for entry, number in count.items() if number > 1}

    def type_ignores(self) -> int:
        """Lines with ``# type: ignore``."""
        return sum(path.read_text().count("# type: ignore") for path in self.files.values())


def _at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    """Walk through a syntax tree, past ``if TYPE_CHECKING:``."""
    yield node
    typing_only = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
    for child in node.orelse if typing_only and isinstance(node, ast.If) else ast.iter_child_nodes(node):
        yield from _at_run_time(child)


def _reachable(edges: dict[str, list[str]], start: str) -> set[str]:
    reached, waiting = {start}, [start]
    while waiting:
        new = set(edges[waiting.pop()]) - reached
        reached |= new
        waiting += new
    return reached


def _part(module: str) -> str:
    """Return the part of the house that a module is in: ``models`` of ``lit_cv.models.fcn``, or ``datamodules``."""
    package, *rest = module.split(".")
    return package if package != "lit_cv" else rest[0] if rest else "__init__"


def _forbidden(part: str, target: str) -> bool:
    if part == target or part not in RANK or target not in RANK:
        return False
    return RANK[part] >= RANK[target] or (part, target) in FORBIDDEN


def _argument_entries(docstring: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each entry under ``Args:``, on one line."""
    section = re.search(r"^Args:\n((?:    .*\n?|\n)+)", docstring, re.MULTILINE)
    for entry in re.split(r"\n(?=    \S)", section[1].rstrip() if section else ""):
        name, colon, text = entry.partition(": ")
        if colon:
            yield name.strip(), " ".join(text.split())


def _named(sizes: dict[str, int]) -> str:
    name = max(sizes, key=lambda key: sizes[key])
    return f"{sizes[name]} ({name})"


def _folders(counts: Counter[str]) -> str:
    return ", ".join(f"{folder} {count}" for folder, count in counts.most_common(3))


def measures(tree: Tree) -> dict[str, str]:
    """Return the rows of the table: what is measured and its value."""
    lines, functions, copied, chain = tree.lines(), tree.functions(), tree.copied_entries(), tree.longest_chain()
    members = sum(map(len, tree.circles))
    return {
        "Python files": str(len(lines)),
        "lines": str(sum(lines.values())),
        "median file, lines": f"{statistics.median(lines.values()):g}",
        "longest file, lines": _named(lines),
        "functions": str(len(functions)),
        "median function, lines": f"{statistics.median(functions.values()):g}",
        "longest function, lines": _named(functions),
        "largest folders, Python files": _folders(tree.folders(*PACKAGES)),
        "largest folders of tests": _folders(tree.folders("tests")),
        "modules in the root of lit_cv": str(tree.folders("lit_cv")["lit_cv"]),
        "import circles": f"{len(tree.circles)} ({members} modules)" if members else "0",
        "longest import chain, modules": f"{len(chain)} ({' → '.join(chain)})",
        "imports against the layers": str(len(tree.against_layers())),
        "modules that no layer names": str(len(tree.without_layer())),
        "copied `Args` entries": f"{sum(copied.values())} ({len(copied)} distinct)",
        "`type: ignore`": str(tree.type_ignores()),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help="the tree (this checkout)")
    parser.add_argument("--against", type=Path, help="an older tree, for a column of its own")
    options = parser.parse_args()
    columns = {"now": measures(Tree(options.root))}
    if options.against:
        columns = {"before": measures(Tree(options.against)), **columns}
    print(f"| | {' | '.join(columns)} |\n| --- |{' --- |' * len(columns)}")
    for row in columns["now"]:
        print(f"| {row} | {' | '.join(column[row] for column in columns.values())} |")


if __name__ == "__main__":
    main()

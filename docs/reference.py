"""Hook of MkDocs: reference pages from the packages, folders in the navigation, and no files from the internet."""

import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

PACKAGES = ("lit_cv", "datamodules")
LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:https?:)?//[^\s>]*"""
    r"""|<link\b[^>]*\brel=["']?(?:stylesheet|preconnect|preload|icon)\b[^>]*(?:https?:)?//[^>]*"""
    r"""|(?:url\(|@import\s)["']?(?:https?:)?//[^\s)]*"""
)
ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):(?=<code>)")  # of Sphinx, in some docstrings


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replace each folder of the navigation by its pages and append the reference."""
    assert config.nav is not None
    pages = Path(config.docs_dir)
    nav = [_expanded(entry, pages) for entry in config.nav]
    reference = [{name: f"reference/{name}.md"} for name, _ in _packages()]
    config.nav = [entry for entry in nav if entry] + [{"API reference": reference}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add one generated page for each package."""
    for name, init in _packages():
        files.append(File.generated(config, f"reference/{name}.md", content=_page(name, init)))
    return files


def on_page_content(html: str, **_: object) -> str:
    """Leave out the roles of Sphinx in front of names."""
    return ROLE.sub("", html)


def on_post_build(config: MkDocsConfig) -> None:
    """Check that the built pages work without internet.

    Raises:
        PluginError: a page or a style sheet loads something from another host.
    """
    for file in sorted(Path(config.site_dir).rglob("*")):
        if file.suffix in (".html", ".css") and (found := LOADED.search(file.read_text(encoding="utf-8"))):
            raise PluginError(f"{file} loads a file from the internet: {found[0]}")


def _expanded(entry: object, pages: Path) -> object:
    """Return `{title: [pages]}` for `{title: "folder/"}`, None for an empty folder, any other entry as is."""
    if not isinstance(entry, dict):
        return entry
    ((title, target),) = entry.items()
    if not (isinstance(target, str) and target.endswith("/")):
        return entry
    found = sorted((pages / target).glob("*.md"), key=lambda page: (page.stem != "index", page.stem))
    return {title: [page.relative_to(pages).as_posix() for page in found]} if found else None


def _packages() -> Iterator[tuple[str, Path]]:
    """Yield the dotted name and the `__init__.py` of each package that has public modules."""
    for package in PACKAGES:
        for init in sorted(Path(package).rglob("__init__.py")):
            if _exports(init) or _modules(init):
                yield ".".join(init.parent.parts), init


def _exports(init: Path) -> bool:
    return "__all__" in init.read_text(encoding="utf-8")


def _modules(init: Path) -> list[str]:
    return sorted(file.stem for file in init.parent.glob("*.py") if not file.stem.startswith("_"))


def _page(name: str, init: Path) -> str:
    """Return the page of a package: what it exports, or else the public names of each of its modules."""
    targets = [name] if _exports(init) else [f"{name}.{module}" for module in _modules(init)]
    heading = f"    options:\n      show_root_heading: {str(not _exports(init)).lower()}\n"
    return f"# {name}\n\n" + "\n".join(f"::: {target}\n{heading}" for target in targets)

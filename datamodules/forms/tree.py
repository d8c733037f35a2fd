"""The names of all files of a folder, read once."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from datamodules.loading.picture_folders import folders_below, is_picture, suffix_of

DEPTH = 6  # folders below the root; deeper ones are not looked at


@dataclass(frozen=True)
class Tree:
    """The files below a folder.

    Attributes:
        root: The folder.
        files: The names of the files by folder; folders are relative to the root, with ``/``; the root itself is "".
    """

    root: Path
    files: dict[str, frozenset[str]]

    @classmethod
    def of(cls, root: Path) -> "Tree":
        """List a folder; no file is opened."""
        files = {}
        for path, names in folders_below(root):
            relative = Path(path).relative_to(root)
            if len(relative.parts) <= DEPTH:
                files["" if relative == Path() else relative.as_posix()] = frozenset(names)
        return cls(root, files)

    def has(self, path: str) -> bool:
        """Return whether a file exists, by its path relative to the root."""
        folder, _, name = path.rpartition("/")
        return name in self.files.get(folder, ())

    def has_folder(self, folder: str) -> bool:
        """Return whether a folder exists."""
        return folder in self.files

    def with_suffix(self, *suffixes: str) -> list[str]:
        """Return the files with one of the suffixes, such as ``.json``; those near the root first."""
        found = (
            join(folder, name) for folder, names in self.files.items() for name in names if suffix_of(name) in suffixes
        )
        return sorted(found, key=lambda path: (path.count("/"), path))

    def stems(self, folder: str, *suffixes: str) -> dict[str, str]:
        """Return the files of a folder by their stems: the pictures, or those with one of the suffixes."""
        names = self.files.get(folder, frozenset())
        wanted = (name for name in names if (suffix_of(name) in suffixes if suffixes else is_picture(name)))
        return {name.rpartition(".")[0]: name for name in sorted(wanted)}

    @cached_property
    def pictures(self) -> dict[str, list[str]]:
        """The folders that have a picture of a stem."""
        found = defaultdict[str, list[str]](list)
        for folder in self.files:
            for stem in self.stems(folder):
                found[stem].append(folder)
        return found

    def below(self, folder: str) -> Iterator[str]:
        """Yield a folder and the folders below it."""
        for name in self.files:
            if not folder or name == folder or name.startswith(f"{folder}/"):
                yield name

    def suffixes(self) -> Counter[str]:
        """Return the number of files by suffix, without hidden files."""
        names = (name for names in self.files.values() for name in names if not name.startswith("."))
        return Counter(suffix_of(name) or "no suffix" for name in names)


def join(*parts: str) -> str:
    """Join parts of a relative path; empty parts are left out."""
    return "/".join(part for part in parts if part)

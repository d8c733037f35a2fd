"""The sentence for a class whose file fails while it is imported; the parser hides the reason in its report."""

import traceback
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from lit_cv.errors import UserError

PLACES = ("model", "network", "data", "optimizer", "scheduler", "callbacks", "logger")  # where a path alone is a class


def broken_module(settings: Mapping[str, Any]) -> str | None:
    """Return the reason why the module of a class cannot be imported, with file and line; None if all can.

    Args:
        settings: Given settings by dotted name, see `merged_arguments`.
    """
    for key, path in class_paths(settings):
        module = path.rpartition(".")[0]
        try:
            import_module(module)
        except UserError:
            return None  # it says its reason itself
        except ModuleNotFoundError as error:
            if error.name and f"{module}.".startswith(f"{error.name}."):
                continue  # there is no such file
            return _sentence(key, path, error)
        except Exception as error:
            return _sentence(key, path, error)
    return None


def class_paths(settings: Mapping[str, Any], parent: str = "") -> Iterator[tuple[str, str]]:
    """Yield the setting and the path of each class, also of those in lists."""
    for key, value in settings.items():
        name = f"{parent}{key}"
        owner, _, last = name.rpartition(".")
        place = owner if last == "class_path" else name.rstrip("+")
        is_class = last == "class_path" or last.rstrip("+") in PLACES
        if is_class and isinstance(value, str) and value.rpartition(".")[0]:
            yield place, value
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, Mapping):
                yield from class_paths(part, f"{name}.")


def _sentence(key: str, path: str, error: Exception) -> str:
    place = f"{error.filename}:{error.lineno}: " if isinstance(error, SyntaxError) else _place(error)
    reason = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    return f"{key}: {path} cannot be imported, {place}{type(error).__name__}: {reason}; fix the file."


def _place(error: Exception) -> str:
    """Return file and line of the module that failed, without the frames of the import system."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.name == "<module>"]
    return f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""

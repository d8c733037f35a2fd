"""YAML as plain values: everything that a text can do to the parser becomes one kind of error."""

from collections.abc import Mapping
from typing import Any

import yaml

FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C loader is ten times faster
MOST_VALUES = 100_000  # aliases of aliases grow exponentially
DEEPEST = 100  # levels; a value that contains itself has no end


class _Once:
    """Refuses a key that a mapping holds twice, of which YAML's own loaders drop the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        seen = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"`{key.value}` appears twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)  # type: ignore[misc]


class FastLoader(_Once, FAST):  # type: ignore[misc]
    """Loads quickly."""


class ShowingLoader(_Once, yaml.SafeLoader):
    """Is slow, and shows the faulty line."""


def parse_yaml(text: str, loader: Any = FastLoader) -> Any:
    """Parse a text.

    Args:
        text: The text.
        loader: :class:`FastLoader` or :class:`ShowingLoader`.

    Raises:
        ValueError: The text is not YAML, has a scalar that its tag or form does not allow, such as the date 2024-13-45,
            or is nested too deeply. The message is one line.
    """
    try:
        value = yaml.load(text, loader)
    except (yaml.YAMLError, ValueError, KeyError, IndexError, AttributeError) as error:  # those of its constructors
        what = "" if isinstance(error, yaml.YAMLError | ValueError) else "a scalar does not fit its tag: "
        raise ValueError(what + " ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError(f"more than {DEEPEST} levels of nesting") from None
    if isinstance(value, list | dict):
        _refuse_endless(value)
    return value


def _refuse_endless(value: Any) -> None:
    level, count = [value], 0
    for _ in range(DEEPEST):
        level = [item for holder in level if isinstance(holder, list | Mapping) for item in _items(holder)]
        count += len(level)
        if not level:
            return
        if count > MOST_VALUES:
            raise ValueError(f"its aliases stand for more than {MOST_VALUES:,} values")
    raise ValueError(f"more than {DEEPEST} levels of nesting")


def _items(holder: Any) -> Any:
    return holder.values() if isinstance(holder, Mapping) else holder

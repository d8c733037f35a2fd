"""Empty mappings in an experiment: the parser drops an unknown name whose value is `{}` without a word."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from jsonargparse import Namespace

from lit_cv.training.arguments.wrong_setting import not_of, unknown_name

NOTHING = object()


class _Place(NamedTuple):
    """Names on the way to a setting, and the innermost class on it with the number of names before its own."""

    names: tuple[str, ...] = ()
    class_path: str = ""
    before: int = 0


def dropped(config: Namespace, settings: Mapping[str, Any], options: Iterable[str]) -> str | None:
    """Return one sentence for the first given `{}` that has no effect; None if there is none.

    Args:
        config: A parsed experiment.
        settings: Given settings by dotted name, see `merged_arguments`.
        options: Names of all settings.
    """
    for name, value in settings.items():
        given = value
        for part in reversed(name.removesuffix("+").split(".")):
            given = {part: given}
        for place, found in _empty(given, config, _Place(), appended=name.endswith("+")):
            path = ".".join(place.names)
            if f"{path}.class_path" in settings:  # these are its `init_args`
                continue
            if found is not NOTHING:
                return f"{path}: expects a value, not {{}}; give one, or leave the setting out."
            if place.class_path:
                return f"{path}: {not_of(place.class_path, '.'.join(place.names[place.before :]))}"
            return unknown_name(path, options)
    return None


def _empty(given: Any, found: Any, place: _Place, appended: bool) -> Iterator[tuple[_Place, Any]]:
    """Yield each setting that is given as `{}` and is no group in the parsed experiment, and what it is there."""
    if isinstance(class_path := _member(found, "class_path"), str):
        place = _Place(place.names, class_path, len(place.names))
    if isinstance(given, list) and isinstance(found, list):
        for item, parsed in zip(given, found[-len(given) :] if appended else found, strict=False):
            yield from _empty(item, parsed, place, appended)
    elif isinstance(given, Mapping) and isinstance(found, Namespace | Mapping) and not _is_class(given, found):
        for key, item in given.items():
            if key == "init_args":
                yield from _empty(item, found, place, appended) if item else ()
            else:
                inner = place._replace(names=(*place.names, str(key)))
                yield from _empty(item, _member(found, str(key)), inner, appended)
    elif isinstance(given, Mapping) and not given:
        yield place, found


def _is_class(given: Mapping[str, Any], found: Namespace | Mapping[str, Any]) -> bool:
    """Tell whether the parser has made a class of an empty mapping, which names none."""
    return not given and "class_path" in found


def _member(parent: Any, name: str) -> Any:
    """Return a member of a group, or of a class's `init_args`."""
    for group in (parent, parent.get("init_args") if isinstance(parent, Namespace) else None):
        if isinstance(group, Namespace | Mapping) and name in group:
            return group[name]
    return NOTHING

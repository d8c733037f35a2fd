"""Types and defaults of the settings of a class or function, as its code declares them."""

from functools import cache
from inspect import Parameter, isclass, signature
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints


class Setting(NamedTuple):
    """The declaration of a setting.

    Attributes:
        kind: Its type.
        default: Its default; ``Parameter.empty`` if it has to be given.
    """

    kind: Any
    default: Any = Parameter.empty


@cache
def setting_of(owner: Any, name: str) -> Setting | None:
    """Return type and default of an argument of a function, or of a class or its nearest base that names it."""
    found = (_settings(holder).get(name) for holder in getattr(owner, "__mro__", (owner,)))
    return next((setting for setting in found if setting), None)


@cache
def _settings(holder: Any) -> dict[str, Setting]:
    made = holder.__init__ if isclass(holder) else holder
    try:
        hints, parameters = get_type_hints(made), signature(made).parameters.values()
    except (NameError, TypeError, ValueError):  # a type that is imported for checks alone, or code in C
        return {}
    return {one.name: Setting(hints[one.name], one.default) for one in parameters if one.name in hints}


def kinds_of(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)

"""The sentence for a setting that the parser refuses, in the words of an experiment's file.

The parser (jsonargparse 4.47 to 4.53) reports a tree of types and reasons; the phrases below are its own.
"""

import ast
import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from inspect import isabstract, isclass
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.loggers import Logger

from lit_cv.errors import did_you_mean, nearest
from lit_cv.models.network import Network
from lit_cv.tasks.base import Task
from lit_cv.tasks.schedules.length import NEEDS_METRIC
from lit_cv.training.arguments.broken_module import broken_module
from lit_cv.training.arguments.signatures import kinds_of, setting_of

KEY = re.compile(r'Parser key "([^"]+)"')
OWNER = re.compile(r"given class_path '([^']+)'|Got value: Namespace\(class_path='([^']+)'")
UNKNOWN = re.compile(
    r"Group '(?P<group>[^']+)' does not accept option '(?P<member>[^']+)'|Option '(?P<name>[^']+)' is not accepted"
    r"|does not accept option '(?P<top>[^']+)'|unrecognized arguments: (?P<word>\S+)"
)
MISSING = re.compile(r"the following arguments are required: (?:fit\.)?(.+)")
NO_VALUE = re.compile(r"argument (\S+): expected one argument")
NO_CLASS = re.compile(
    r"module '(?P<module>[^']+)' has no attribute '(?P<wanted>[^']+)'|No module named '(?P<missing>[^']+)'"
)
NO_PATH = re.compile(r"Expected a dot import path string: (\S+)")
OTHER_CLASS = re.compile(r"(?:correspond to|to be) a subclass of (\w+)|Not a valid subclass of (\w+)")
OTHER_KEYS = re.compile(r"Option 'class_path' is not accepted|Dict must include a class_path and optionally init_args")
SEVERAL = re.compile(r"Multiple subclasses with name (\w+)\. Give the full class path to avoid ambiguity: ([\w., ]+)\.")
ABSTRACT = re.compile(r"instantiatable class, but (?P<path>\S+) is abstract")
EXPECTED = re.compile(r"Expected an? (?:<class '(?P<kind>[^']+)'>|typing\.Literal(?P<choices>\[[^]]*\]))")
RESTRICTED = re.compile(r"Not of type \w+: (?P<value>\S+) does not conform to restriction v(?P<limit>.+)")
CLASS_PATH = re.compile(r"class_path='([^']+)'")
PARSERS_OWN = re.compile(
    r"Expected a |Does not validate|Subtypes:|Errors:|Given value|Not a valid|Subclass types|a class path|a dict with"
    r"|For further information|\d+ validation errors? for|Problem with given|$"
)
KINDS = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "list": "a list",
    "tuple": "a list",
    "collections.abc.Sequence": "a list",
    "collections.abc.Iterable": "a list",
    "dict": "a mapping of names to values",
    "collections.abc.Mapping": "a mapping of names to values",
}
BASES = {
    "model": Task,
    "network": Network,
    "data": LightningDataModule,
    "optimizer": torch.optim.Optimizer,
    "scheduler": torch.optim.lr_scheduler.LRScheduler,
    "callbacks": Callback,
    "logger": Logger,
}


def describe(report: str, settings: Mapping[str, Any], options: Iterable[str]) -> str:
    """Return one sentence for a report of the parser.

    Args:
        report: The parser's text.
        settings: Given settings by dotted name, see `merged_arguments`.
        options: Names of the options at the top of the verb, such as `trainer.max_steps`.
    """
    if broken := broken_module(settings):
        return broken
    path = ".".join(dict.fromkeys(KEY.findall(report)))
    owners = [first or second for first, second in OWNER.findall(report)]
    if OTHER_KEYS.search(report):
        return f"{path}: a class has the keys class_path and init_args alone; move other keys into init_args."
    if found := UNKNOWN.search(report):
        return _unknown(found, path, owners, list(options))
    if found := NO_VALUE.search(report):
        name = next((key for key, value in settings.items() if f"--{key}".startswith(found[1]) and value is True), "")
        return f"{f'--{name}' if name else found[1]}: give it a value, as in --NAME=VALUE."
    if found := MISSING.search(report):
        missing = found[1].removeprefix(f"{path}.")
        owner = f"{owners[-1].rpartition('.')[2]} needs it" if owners else "an experiment needs it"
        return f"{f'{path}.' * bool(path)}{missing}: {owner}; give it a value."
    if "object has no attribute 'keys'" in report:
        return f"{path}.init_args: expects a mapping of names to values; write one setting per line."
    wrong = (
        _no_group(path, owners, settings)
        or _wrong_class(report, path, owners, settings)
        or _wrong_type(report, path, settings)
    )
    return (
        wrong
        or f"{path or 'the experiment'}: {textwrap.shorten(report, 300).rstrip('.')}; all settings: --print_config."
    )


def refusal(error: ValueError) -> str | None:
    """Return one sentence for a missing package, or for the values that a library refuses.

    The latter only if the parser has kept no more than the library's text of them.

    The parser tries each type of a setting and chains the error of the first one alone. None if the chain has the
    original error, whose traceback may be needed.
    """
    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
    lines = [line.strip().removeprefix("- ") for line in str(error).splitlines()]
    built = next((CLASS_PATH.findall(line) for line in lines if line.startswith("Given value: ")), [])
    if isinstance(root, ModuleNotFoundError) and root.name is None:  # a library's own check of an optional package
        reason = str(root).partition(". ")[0].rstrip(".")
        extra = 'pip install "lit-cv[loggers]" has those of TensorBoard and MLflow'
        return f"{' or '.join(built)}: {reason}; install the package ({extra})."
    if not PARSERS_OWN.match(str(root)):
        return None
    reasons = [line.partition(" [type=")[0] for line in lines if not PARSERS_OWN.match(line)]
    return f"{' or '.join(built)}: {' '.join(dict.fromkeys(reasons))}; fix its settings."


def _unknown(found: re.Match[str], path: str, owners: list[str], options: list[str]) -> str:
    if found["top"] or not owners:
        parts = (
            [found["top"]] if found["top"] else [found["word"], path, found["group"], found["member"], found["name"]]
        )
        return unknown_name(".".join(filter(None, parts)).partition("=")[0], options)
    name = (found["word"] or "").removeprefix("--").partition("=")[0] or found["name"] or found["member"]
    name = f"{found['group']}.{name}" if found["group"] else name
    return f"{path}.{name}: {not_of(owners[-1], name)}"


def unknown_name(word: str, options: Iterable[str]) -> str:
    """Return the sentence for a name that is no setting of an experiment.

    Args:
        word: The name as given, such as `trianer.max_steps`, or with `--`.
        options: Names of all settings.
    """
    name, known = word.removeprefix("--"), list(options)
    top = [*dict.fromkeys(option.split(".")[0] for option in known), "config", "resume", "print_config"]
    hint = did_you_mean(name, known) or did_you_mean(name.split(".")[0], top)
    return f"{word}: there is no such setting{hint or '; all settings: --print_config.'}"


def not_of(class_path: str, name: str) -> str:
    """Return "CLASS has no such setting" for a name, with the nearest of the settings that the class has."""
    known = settings_of(class_path)
    group, _, member = name.rpartition(".")
    if inside := [other.removeprefix(f"{group}.") for other in known if group and other.startswith(f"{group}.")]:
        known = inside  # of a nested group, such as data.shapes
    else:
        member = name.partition(".")[0]
    known = list(dict.fromkeys(other.partition(".")[0] for other in known))
    hint = did_you_mean(member, known) or f"; it has {', '.join(nearest(member, known)) or 'none'}."
    return f"{class_path.rpartition('.')[2]} has no such setting{hint}"


def settings_of(class_path: str) -> list[str]:
    """Return the names of the settings of a class or function, those of nested groups with a dot."""
    module, _, name = class_path.rpartition(".")
    owner = getattr(import_module(module), name)
    parser = LightningArgumentParser(exit_on_error=False)
    add = parser.add_class_arguments if isclass(owner) else parser.add_function_arguments
    add(owner, fail_untyped=False)
    return [name for name in parser.get_defaults().keys() if name != "config"]  # noqa: SIM118  (no mapping)


def _wrong_class(report: str, path: str, owners: list[str], settings: Mapping[str, Any]) -> str | None:
    base = BASES.get(path.rpartition(".")[2])
    if found := NO_CLASS.search(report):
        if found["missing"]:
            wanted = owners[-1] if found["missing"].split(".")[0] in owners[-1] else _value(report, path, settings)
            return f"{path}: {wanted} cannot be imported, there is no module {found['missing']}; fix the path."
        module = import_module(found["module"])
        names = [name for name, value in vars(module).items() if isclass(value) and not name.startswith("_")]
        hint = did_you_mean(found["wanted"], names) or "; fix the path."
        return f"{path}: {found['module']} has no class {found['wanted']}{hint}"
    if found := SEVERAL.search(report):
        if found[1] == torch.optim.lr_scheduler.ReduceLROnPlateau.__name__:
            return NEEDS_METRIC
        return f"{path}: several classes are called {found[1]}; give the full path of one: {found[2]}."
    if found := ABSTRACT.search(report):
        owner, _, name = found["path"].rpartition(".")
        lacking = sorted(getattr(getattr(import_module(owner), name, None), "__abstractmethods__", ()))
        return f"{path}: {found['path']} is abstract: define {', '.join(lacking)} in it, or name a subclass that does."
    given = NO_PATH.search(report)
    if given and (base is not None or not EXPECTED.search(report.partition("Expected a <class 'NoneType'>")[0])):
        classes = {name.rpartition(".")[2]: name for name in _classes(base)}
        example = next(iter(classes.values()), "torch.optim.SGD")
        near = did_you_mean(given[1], classes) or f"; give its full path, such as {example}."
        return f"{path}: there is no class {given[1]}{near}"
    if found := OTHER_CLASS.search(report):
        value = owners[-1] if owners and len(owners) > path.count(".") else _value(report, path, settings)
        if value.startswith("{"):
            return f"{path}: a class has the keys class_path and init_args alone; move other keys into init_args."
        examples = "".join(f", such as {example}" for example in _classes(base)[:1])
        return f"{path}: {value} is no {found[1] or found[2]}; name a subclass of it in class_path{examples}."
    return None


def _no_group(path: str, owners: list[str], settings: Mapping[str, Any]) -> str | None:
    """Return the sentence for a plain value of a setting that is a group of settings, such as ``data.split=0.2``."""
    try:
        module, _, name = owners[-1].rpartition(".")
        declared = setting_of(getattr(import_module(module), name), path.rpartition(".")[2])
    except (IndexError, ImportError, AttributeError, ValueError):  # without an owner, or with one that does not exist
        return None
    groups = [kind for kind in kinds_of(declared.kind) if isclass(kind) and is_dataclass(kind)] if declared else []
    if not groups or isinstance(settings.get(path, {}), Mapping):
        return None
    names = [field.name for field in fields(groups[0])]
    return (
        f"{path}: expects a group of settings ({', '.join(names)}), not {_value('', path, settings)}; "
        f"write --{path}.{names[0]}=VALUE."
    )


def _classes(base: type | None) -> list[str]:
    """Return the shortest import paths of the imported subclasses of a class, those of the project first."""
    found, waiting = list[str](), [base] if base is not None else []
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        words = kind.__module__.split(".")
        if not isabstract(kind) and kind is not base and not kind.__name__.startswith("_"):
            packages = (".".join(words[:end]) for end in range(1, len(words) + 1))
            home = next(name for name in packages if getattr(import_module(name), kind.__name__, None) is kind)
            found.append(f"{home}.{kind.__name__}")
    return sorted(found, key=lambda path: (not path.startswith(("lit_cv.", "datamodules.", "torch.")), path))


def _wrong_type(report: str, path: str, settings: Mapping[str, Any]) -> str | None:
    expected = list(dict.fromkeys(match.groups() for match in EXPECTED.finditer(report)))
    choices = [choice for _, listed in expected if listed for choice in ast.literal_eval(listed)]
    kinds = [KINDS.get(kind, f"a {kind}") for kind, _ in expected if kind and kind not in ("NoneType", "torch.Tensor")]
    if path == "seed_everything":
        kinds = ["an integer"]
    value = _value(report, path, settings)
    if found := RESTRICTED.search(report):
        return f"{path}: {found['value']} is out of its range; give a number {found['limit']}."
    if choices:
        kinds.insert(0, f"one of {', '.join(nearest(value, map(str, choices)))}")
    if not kinds:
        return None
    hint = did_you_mean(value, map(str, choices)) or "."
    if kinds == ["text"] and not isinstance(settings.get(path, {}), Mapping | list):
        hint = ", which YAML reads as another type; put the text in quotes."
    return f"{path}: expects {' or '.join(dict.fromkeys(kinds))}, not {value}{hint}"


def _value(report: str, path: str, settings: Mapping[str, Any]) -> str:
    """Return the given value, as the user wrote it where that is known."""
    given = [settings[key] for key in (f"{path}+", path) if key in settings][:1]
    given = given or [value for key, value in settings.items() if key.startswith(f"{path}.")]
    if len(given) == 1:
        return given[0] if isinstance(given[0], str) else json.dumps(given[0], default=str)
    found = re.search(r"(?:Got value|Given value): (.*)", report)
    return textwrap.shorten(found[1], 100) if found else "this value"

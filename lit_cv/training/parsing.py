"""Command lines of LightningCLI, parsed with one clear sentence for every mistake."""

from typing import Any

from jsonargparse import ArgumentError, Namespace
from lightning.pytorch.cli import ArgsType, LightningArgumentParser

from lit_cv.errors import UsageError, expected_failure


def parse(parser: LightningArgumentParser, args: ArgsType) -> Any:
    """Parse `args`.

    Raises:
        UsageError: The arguments are wrong; the text is the parser's reason in one sentence.
    """
    given = args if isinstance(args, list) else []
    nulls = [arg for arg in given if arg.startswith("--model.") and arg.endswith(("=null", "=None"))]
    try:
        config = parser.parse_args([arg for arg in given if arg not in nulls])
        for arg in nulls:
            _set_null(config[config.subcommand], arg[2:-5])
        if nulls:
            parser.validate(config)
    except ArgumentError as error:
        if failure := expected_failure(error):  # of a module that the experiment names
            raise failure from None
        raise UsageError(f"{_reason(str(error))}; all settings: --print_config.") from None
    return config


def _reason(report: str) -> str:
    """Reduce the parser's indented report to the path to its innermost reason."""
    lines = [line for line in report.splitlines() if line.strip()]
    depth = [len(line) - len(line.lstrip()) for line in lines]
    way = [line.strip().removeprefix("- ") for line in lines[: depth.index(max(depth)) + 1]]
    return " ".join(line for line in way if not line.startswith(("Does not validate", "Subtypes:", "Errors:")))


def _set_null(config: Any, key: str) -> None:
    """Set one nested setting to None; jsonargparse would pass it to a nested class as the text "None"."""
    *parents, name = key.split(".")
    for parent in parents:
        config = config.get(parent) or Namespace()  # type: ignore[no-untyped-call]
        config = config.get("init_args", config)
    if name not in config:
        raise UsageError(f"--{key}: the experiment has no such setting; see --print_config.")
    config[name] = None

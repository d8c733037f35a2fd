"""Command lines of LightningCLI, parsed with one clear sentence for every mistake."""

from typing import Any

from jsonargparse import ArgumentError, Namespace
from lightning.pytorch.cli import ArgsType, LightningArgumentParser

from lit_cv.errors import UsageError, UserError, expected_failure, plain_failures
from lit_cv.runs.settings import merged_arguments
from lit_cv.training.arguments.empty_values import dropped
from lit_cv.training.arguments.null_values import misplaced_null
from lit_cv.training.arguments.wrong_setting import describe, refusal

INTERVALS = ("val_check_interval", "check_val_every_n_epoch")  # by which Lightning divides
LOWEST = {  # that Lightning does not check: it divides by a number of batches, and climbs with a negative norm
    "trainer.accumulate_grad_batches": 1,
    "trainer.log_every_n_steps": 0,
    "trainer.gradient_clip_val": 0,
    "trainer.num_sanity_val_steps": -1,
    "run.checkpoint_every": 1,
}


class Parser(LightningArgumentParser):
    """A parser that accepts no abbreviated option: another spelling would be another run. So do its nested parsers."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, "exit_on_error": False, **options})

    def instantiate_classes(self, *args: Any, **options: Any) -> Any:
        """Build the objects of a parsed configuration.

        Raises:
            UserError: A class raises one, or a library refuses a value.
        """
        try:
            with plain_failures():
                return super().instantiate_classes(*args, **options)
        except ValueError as error:
            if reason := refusal(error):
                raise UserError(reason) from None
            raise


def parse(parser: LightningArgumentParser, args: ArgsType) -> Any:
    """Parse `args`.

    Raises:
        UsageError: The arguments are wrong; the text names the setting, the value and what it accepts.
    """
    given = args if isinstance(args, list) else []
    nulls = [arg for arg in given if arg.startswith("--model.") and arg.endswith(("=null", "=None"))]
    try:
        config = parser.parse_args([arg for arg in given if arg not in nulls])
        for arg in nulls:
            _set_null(config[config.subcommand], arg[2:-5])
        if reason := misplaced_null(config[config.subcommand]):
            raise UsageError(reason)
        if nulls:
            parser.validate(config)
    except ArgumentError as error:
        if failure := expected_failure(error):  # of a module that the experiment names
            raise failure from None
        raise UsageError(describe(str(error), merged_arguments(given), _options(parser))) from None
    experiment = config[config.subcommand]
    if reason := dropped(experiment, merged_arguments(given), _options(parser)):
        raise UsageError(reason)
    refuse_values(experiment)
    return config


def refuse_values(experiment: Any) -> None:
    """Refuse values of a parsed experiment that have the right type and no meaning.

    Raises:
        UsageError: There is one.
    """
    for group in ("trainer", "run"):
        if not isinstance(experiment[group], Namespace):
            raise UsageError(f"{group}: expects a mapping of names to values, not {experiment[group]}.")
    for name in INTERVALS:
        if experiment.trainer[name] == 0:
            raise UsageError(f"trainer.{name}: 0 is no interval; give at least 1, or null.")
    for name, lowest in LOWEST.items():
        value = experiment[name]
        if isinstance(value, int | float) and not value >= lowest:
            raise UsageError(f"{name}: {value:g} makes no sense; give at least {lowest}.")
    seed = experiment.seed_everything
    if type(seed) is int and not 0 <= seed < 2**32:
        raise UsageError(f"seed_everything: {seed} is no seed; give a number from 0 to {2**32 - 1}.")


def _options(parser: LightningArgumentParser) -> list[str]:
    """Return the names of the options of `fit`, which are those of all verbs, and more."""
    verbs = next(action.choices for action in parser._actions if isinstance(action.choices, dict))
    return [str(name) for name in verbs["fit"].get_defaults().keys()]  # noqa: SIM118  (no mapping)


def _set_null(config: Any, key: str) -> None:
    """Set one nested setting to None; jsonargparse would pass it to a nested class as the text "None"."""
    *parents, name = key.split(".")
    for parent in parents:
        config = config.get(parent) or Namespace()  # type: ignore[no-untyped-call]
        config = config.get("init_args", config)
    if name not in config:
        raise UsageError(f"--{key}: the experiment has no such setting; see --print_config.")
    config[name] = None

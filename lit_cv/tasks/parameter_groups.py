"""Groups of parameters with learning rates and weight decays of their own."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from math import isfinite
from typing import Any, Literal, NamedTuple

from lightning.pytorch.utilities import rank_zero_only
from torch import nn
from torch.optim import Optimizer

from lit_cv.errors import UserError, did_you_mean
from lit_cv.runs.prose import say

Undecayed = Literal["norms", "biases"]
NETWORK = "network."  # start of the network's names in a task


class Group(NamedTuple):
    """The group of a parameter.

    Attributes:
        name: Its name, made of the settings that lead to it.
        factor: Factor of the optimizer's rate.
        decayed: Whether the optimizer's weight decay applies.
        pattern: Pattern of ``lr_factors`` that decides, if one matches.
    """

    name: str = "others"
    factor: float = 1.0
    decayed: bool = True
    pattern: str | None = None


OTHERS = Group()


class ParameterGroups:
    """Divides the parameters of a network into groups, as ``model.lr_factors`` and its siblings say.

    Args:
        network: The network.
        lr_factors: Factors of the learning rate by pattern of ``fnmatch`` on the parameters' names. If several patterns
            match, the last one counts.
        no_weight_decay: Parameters without weight decay: ``norms`` (weights and biases of normalizations), ``biases``.
        layer_decay: Factor of the learning rate from one stage of the backbone to the one before it, in (0, 1]. All
            other layers have the full rate (Clark et al. 2020, ELECTRA; Bao et al. 2022, BEiT).

    Raises:
        UserError: A pattern or factor has no effect or no meaning, or the backbone has no stages.
    """

    def __init__(
        self,
        network: nn.Module,
        lr_factors: Mapping[str, float] | None = None,
        no_weight_decay: Sequence[Undecayed] | None = None,
        layer_decay: float | None = None,
    ) -> None:
        self.one = not lr_factors and not no_weight_decay and layer_decay is None
        self._exempt = set(no_weight_decay or ())
        self._groups: dict[str, Group] = {}
        self._patterns = list(lr_factors or ())
        if self.one:
            return
        names, factors = [name for name, _ in network.named_parameters()], lr_factors or {}
        _check_factors(factors, network)
        last = {name: pattern for pattern in factors for name in names if fnmatchcase(name, pattern)}
        if hidden := [pattern for pattern in factors if pattern not in last.values()]:
            raise UserError(
                f"model.lr_factors: {hidden[0]!r} has no effect, because later patterns match all of its parameters; "
                "write it after them."
            )
        stages = _stages(network, layer_decay) if layer_decay is not None else {}
        undecayed = set(_undecayed(network, self._exempt))
        for name in names:
            pattern, decayed = last.get(name), name not in undecayed
            steps = 1 + max(stages.values()) - stages[name] if name in stages else 0
            factor = float(factors.get(pattern or "", 1.0)) * (layer_decay or 1.0) ** steps
            parts = [
                pattern,
                f"stage {stages[name] + 1}" if name in stages else "",
                "" if decayed else "no weight decay",
            ]
            label = ", ".join(filter(None, parts)) or OTHERS.name
            self._groups[name] = Group(label, factor, decayed, pattern)

    def of(self, parameters: Iterable[tuple[str, nn.Parameter]]) -> Iterator[Any]:
        """Yield what an optimizer takes: the trainable parameters, or their groups with names.

        Args:
            parameters: Names in the task, and parameters.
        """
        members = self._members(parameters)
        if self.one:
            yield from members.get(OTHERS, [])
            return
        for group, own in members.items():
            settings = {} if group.decayed else {"weight_decay": 0.0}
            yield {"params": own, "name": group.name, "lr_factor": group.factor, **settings}
        for pattern in self._patterns:
            if all(group.pattern != pattern for group in members):
                _note(f"lr_factors: {pattern!r} has no effect, because none of its parameters trains.")

    def check_saved(self, saved: Sequence[Mapping[str, Any]], parameters: Iterable[tuple[str, nn.Parameter]]) -> None:
        """Check that the optimizer of a checkpoint has the groups of this run.

        Args:
            saved: Its groups.
            parameters: See ``of``.

        Raises:
            UserError: It has others.
        """
        theirs = [group.get("name", OTHERS.name) for group in saved]
        ours = [group.name for group in self._members(parameters)]
        if theirs != ours:
            raise UserError(
                f"the optimizer of the checkpoint has the groups of parameters {theirs}, and here they are {ours}; set "
                "model.lr_factors, no_weight_decay, layer_decay and trainable_layers as in its run."
            )

    def _members(self, parameters: Iterable[tuple[str, nn.Parameter]]) -> dict[Group, list[nn.Parameter]]:
        members: dict[Group, list[nn.Parameter]] = {}
        for name, parameter in parameters:
            if parameter.requires_grad:
                members.setdefault(self._groups.get(name.removeprefix(NETWORK), OTHERS), []).append(parameter)
        return members

    def scale(self, optimizer: Optimizer) -> None:
        """Multiply the rate of each group by its factor, before the schedule takes it as the peak."""
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * group.pop("lr_factor", 1.0)
        if self._exempt and not optimizer.defaults.get("weight_decay"):
            _note(f"no_weight_decay has no effect: {type(optimizer).__name__} has no weight decay here.")


def _check_factors(factors: Mapping[str, float], network: nn.Module) -> None:
    names = [name for name, _ in network.named_parameters()]
    for pattern, factor in factors.items():
        if not (isfinite(factor) and factor > 0):
            raise UserError(
                f"model.lr_factors: {pattern!r} has the factor {factor}, expected a number above 0; "
                "model.network.trainable_layers: 0 keeps a backbone as it is."
            )
        if not any(fnmatchcase(name, pattern) for name in names):
            parts = [
                f"{name}.*" for name, part in network.named_modules() if name and any(True for _ in part.parameters())
            ]
            near = did_you_mean(pattern, [*parts, *names]) or f"; the first one is {names[0]}."
            raise UserError(f"model.lr_factors: {pattern!r} matches no parameter of {type(network).__name__}{near}")


def _stages(network: nn.Module, layer_decay: float) -> dict[str, int]:
    """Return the stage, from 0, of each parameter of a backbone, see ``Trunk``."""
    if not 0 < layer_decay <= 1:
        raise UserError(f"model.layer_decay is {layer_decay}, expected a number above 0 and at most 1.")
    stages = {name: int(part.stage) for name, part in network.named_parameters() if hasattr(part, "stage")}
    if not stages:
        raise UserError(
            f"model.layer_decay: {type(network).__name__} has no backbone with stages; use model.lr_factors instead."
        )
    return stages


def _undecayed(network: nn.Module, kinds: set[Undecayed]) -> Iterator[str]:
    """Yield the names of norms or biases."""
    for path, module in network.named_modules():
        norm = "norms" in kinds and any("Norm" in kind.__name__ for kind in type(module).__mro__)
        for name, _ in module.named_parameters(recurse=False):
            bias = "biases" in kinds and (name == "bias" or name.startswith("bias_") or name.endswith("_bias"))
            if norm or bias:
                yield f"{path}.{name}" if path else name


@rank_zero_only
def _note(text: str) -> None:
    say(f"note: model.{text}")

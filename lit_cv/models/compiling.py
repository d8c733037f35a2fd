"""Compilation of networks by ``torch.compile``."""

from contextlib import AbstractContextManager
from typing import Any, cast

import torch
from torch import nn

from lit_cv.errors import UserError, did_you_mean
from lit_cv.models.network import OnePassNetwork

CHECK = "aot_eager"
MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs", CHECK)


def compile_network(network: nn.Module, mode: bool | str) -> None:
    """Compile the dense part of a network in place: its ``forward`` if that is all of it, else its backbone.

    Losses, proposals and NMS, whose shapes depend on the data, stay as they are. The names of the weights do not
    change. The code is made for all sizes at once: code for the size that comes first would give a resumed run, which
    starts with other images, other roundings.

    Args:
        network: The network; one that is compiled already stays as it is.
        mode: False for no compilation, True for PyTorch's default mode, or a name of ``MODES``. ``aot_eager`` traces
            the network as the other modes do, but generates no code: a quick check without a C++ compiler.

    Raises:
        UserError: The mode is unknown, or the network has no part that can be compiled.
    """
    check_mode(mode)
    if mode is False or is_compiled(network):
        return
    part = network if isinstance(network, OnePassNetwork) else getattr(network, "backbone", None)
    if not isinstance(part, nn.Module):
        raise UserError(
            f"model.compile: {type(network).__name__} has no backbone, the part that is compiled; set it to false."
        )
    if mode == CHECK:
        part.compile(backend=CHECK, dynamic=True)
    else:
        part.compile(mode=None if mode is True else mode, dynamic=True)


def check_mode(mode: bool | str) -> None:
    """Check a mode of ``compile_network``.

    Raises:
        UserError: It is unknown.
    """
    if not isinstance(mode, bool) and mode not in MODES:
        hint = did_you_mean(mode, MODES) or f"; choose from true, false, {', '.join(MODES)}."
        raise UserError(f"model.compile: {mode} is no mode of torch.compile{hint}")


def is_compiled(network: nn.Module) -> bool:
    """Return whether a part of a network is compiled."""
    return any(part._compiled_call_impl is not None for part in network.modules())


def without_compilation() -> AbstractContextManager[Any]:
    """Return a context in which compiled networks run as if they were not."""
    return cast(AbstractContextManager[Any], torch.compiler.set_stance("force_eager"))

"""The file behind a value of a network's `weights`. Imports nothing heavy."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lit_cv.errors import UserError

BACKBONE = "{backbone}"
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


def backbone_file(value: str, backbone: str) -> Path:
    """Return the path that a value of `weights` names.

    Args:
        value: The path of a state dict. `{backbone}` in it is replaced by the name of the backbone after its last
            slash, and `$NAME` by an environment variable, so that one value serves several backbones and machines.
        backbone: Name of the backbone.

    Raises:
        UserError: An environment variable is not set.
    """
    for name in _VARIABLE.findall(value):
        if name not in os.environ:
            raise UserError(f"weights: {value} names the environment variable {name}, which is not set; set it.")
    return Path(os.path.expandvars(value).replace(BACKBONE, backbone.rpartition("/")[2]))


def backbone_beside(key: str, settings: Mapping[str, Any]) -> str:
    """Return the backbone of the network whose `weights` are the flat setting ``key``; empty if it is not set."""
    return str(settings.get(f"{key.rpartition('.')[0]}.backbone", ""))

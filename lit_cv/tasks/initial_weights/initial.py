"""The setting `model.initial_weights` of a task."""

from collections.abc import Sequence
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from lit_cv.models.network import Network
from lit_cv.models.published import BACKGROUND, refuse_unknown
from lit_cv.runs.initial_weights import TORCHVISION
from lit_cv.tasks.initial_weights.matching import Loaded, load_source
from lit_cv.tasks.initial_weights.sources import read_source

MOST_NAMES = 6


class InitialWeights:
    """Loads weights of a whole network once, before the first step, and never again.

    Args:
        value: The setting, see ``Task``.

    Raises:
        UserError: It names a network of torchvision whose weights cannot be used.

    Attributes:
        record: The result, for `result.json`; None if nothing was loaded.
    """

    def __init__(self, value: str | None) -> None:
        if value is not None and value.startswith(TORCHVISION):
            refuse_unknown(value.removeprefix(TORCHVISION))
        self.value, self.waiting = value, value is not None
        self.record: dict[str, Any] | None = None

    def skip(self) -> None:
        """Load nothing: a checkpoint will replace all weights."""
        self.waiting = False

    def load_into(self, network: Network, names: Sequence[str], size: int) -> None:
        """Load the weights into a network if this has not happened.

        Args:
            network: Changed in place.
            names: Names of its classes, joints or words, without the background.
            size: Its number of outputs, with the background if it has one.

        Raises:
            UserError: The weights are missing, cannot be read, or do not fit.
        """
        if self.value is None or not self.waiting:
            return
        self.waiting = False
        source = read_source(self.value)
        loaded = load_source(network, [BACKGROUND, *names] if size == len(names) + 1 else names, source)
        self.record = {"source": self.value, "file": source.name, "sha256": source.digest, **loaded._asdict()}
        _tell(source.name, loaded)


@rank_zero_only
def _tell(name: str, loaded: Loaded) -> None:
    parts = [f"initial weights: {loaded.share:.1%} of the network from {name}"]
    if loaded.classes is not None:
        parts.append(f"classes by name: {_listed(loaded.classes)}")
    modules = list(dict.fromkeys(parameter.rpartition(".")[0] for parameter in loaded.fresh))
    if modules:
        parts.append(f"new: {_listed(modules)}")
    if loaded.unused:
        parts.append(f"not used: {_listed(loaded.unused)}")
    print("; ".join(parts), flush=True)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more or "none"

"""Loading of a classification network's state dict into some of its layers."""

from torch import Tensor, nn

from lit_cv.errors import UserError


def load_weights(layers: nn.Module, state: dict[str, Tensor], prefix: str, source: str) -> None:
    """Load the part of a classification network's state dict that belongs to ``layers``; its classifier may be there.

    Args:
        layers: Some layers of the network.
        state: Its state dict.
        prefix: Beginning of the keys of ``layers``.
        source: Name of the weights, for messages.

    Raises:
        UserError: A parameter is missing or has another shape; the first few are named.
    """
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    expected = layers.state_dict()
    wrong = [
        f"{prefix}{key}"
        for key, value in expected.items()
        if not key.endswith("num_batches_tracked") and (key not in own or own[key].shape != value.shape)
    ]
    if wrong:
        refuse_whole_network(state, source)
        raise UserError(
            f"Weights {source} do not fit the backbone: {len(wrong)} parameters are missing or of another shape, "
            f"first {', '.join(wrong[:3])}."
        )
    layers.load_state_dict({key: value for key, value in own.items() if key in expected}, strict=False)


def refuse_whole_network(state: dict[str, Tensor], source: str) -> None:
    """Say so if weights that do not fit are those of a whole detector or segmenter, as torchvision publishes them.

    Raises:
        UserError: They are.
    """
    parts = list(dict.fromkeys(key.partition(".")[0] for key in state))
    if "backbone" in parts and len(parts) > 1:
        raise UserError(
            f"Weights {source} are those of a whole network ({', '.join(parts)}), but weights takes those of a "
            "classification network: give such a state dict, 'imagenet' or null, and these as model.initial_weights."
        )

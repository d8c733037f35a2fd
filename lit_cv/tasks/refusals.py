"""Reasons that stop a run: a loss that is not finite, and a checkpoint of another network."""

from collections.abc import Mapping, Sequence

from torch import Tensor

from lit_cv.errors import UserError


def refuse_other_weights(own: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    """Check that saved weights have the names and shapes of a network's own.

    Raises:
        UserError: One of them differs.
    """
    here = {name: tuple(value.shape) for name, value in own.items()}
    theirs = {name: tuple(value.shape) for name, value in saved.items()}
    for name in [*here, *theirs]:
        if here.get(name) != theirs.get(name):
            raise UserError(
                f"the checkpoint is of another network: {name} has shape {theirs.get(name, 'none')} in it and "
                f"{here.get(name, 'none')} here; give a checkpoint of a run with the same `model`."
            )


def refuse_non_finite(losses: Mapping[str, Tensor], targets: Sequence[Mapping[str, Tensor]], step: int) -> None:
    """Stop with the values of the losses and the images of the batch.

    Raises:
        UserError: Always.
    """
    values = ", ".join(f"{name} {loss.item():.4g}" for name, loss in losses.items())
    images = [int(target["image_id"]) for target in targets]
    raise UserError(
        f"the loss is not finite at step {step} ({values}) on the images with image_id {images}; "
        "lower the learning rate, clip the gradient, or look at these images."
    )

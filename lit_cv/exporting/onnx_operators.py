"""Operators that PyTorch's converter to ONNX lacks, as functions of onnxscript."""

from collections.abc import Callable
from typing import Any

import torch

from lit_cv.errors import UserError
from lit_cv.ops.traced.nms import FEW

Function = Callable[..., Any]


def translations() -> dict[Function, Function]:
    """Return the functions by the operators of PyTorch that they replace.

    Raises:
        UserError: The packages of ONNX are missing.
    """
    try:
        import onnx  # noqa: F401  # the converter imports it late
        from onnxscript import opset18
    except ImportError:
        raise UserError(
            "--network onnx needs the packages onnx and onnxscript: install the extra (pip install 'lit-cv[export]'), "
            "or write --network torch-export."
        ) from None
    op: Any = opset18  # the types of its arguments are those of constants

    def ranked(values: Any, axis: int = 0, largest: int = 1) -> Any:
        """Sort values along an axis; of equal ones the lower index comes first."""
        return op.TopK(values, op.Gather(op.Shape(values), whole([axis])), axis=axis, largest=largest, sorted=1)

    def whole(numbers: list[int]) -> Any:
        return op.Constant(value_ints=numbers)

    def sort(values: Any, stable: bool = True, dim: int = -1, descending: bool = False) -> Any:
        return ranked(values, dim, int(descending))

    def grouped_nms(boxes: Any, scores: Any, groups: Any, threshold: float) -> Any:
        zero, count = op.Constant(value_floats=[0.0]), op.Shape(scores)
        few = op.LessOrEqual(count, whole([FEW]))
        # As `batched_nms` on the CPU: offsets between the groups of a few boxes, exact groups for many.
        side = op.ReduceMax(op.Concat(op.Reshape(boxes, whole([-1])), zero, axis=0)) + 1.0
        offsets = op.Where(few, op.CastLike(groups, boxes) * side, zero)
        groups = op.Where(few, whole([0]), groups)
        last = op.ReduceMax(op.Concat(groups, whole([0]), axis=0), keepdims=0)
        rows = op.Range(op.Constant(value_int=0), last + 1, op.Constant(value_int=1))
        own = op.Equal(op.Unsqueeze(rows, whole([1])), op.Unsqueeze(groups, whole([0])))
        of_groups = op.Where(own, op.Unsqueeze(scores, whole([0])), op.Constant(value_float=-1.0))
        chosen = op.NonMaxSuppression(
            op.Unsqueeze(boxes + op.Unsqueeze(offsets, whole([1])), whole([0])),
            op.Unsqueeze(of_groups, whole([0])),
            count,
            op.Constant(value_float=threshold),
            op.Constant(value_float=-0.5),  # above the scores of other groups
        )
        kept = op.Gather(chosen, op.Constant(value_int=2), axis=1)
        _, order = ranked(op.Gather(scores, kept))
        return op.Gather(kept, order)

    return {torch.ops.aten.sort.stable: sort, torch.ops.lit_cv.grouped_nms.default: grouped_nms}

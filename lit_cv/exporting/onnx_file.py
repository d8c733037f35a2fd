"""A network as an ONNX file."""

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from lit_cv.errors import UserError
from lit_cv.exporting.onnx_operators import translations
from lit_cv.exporting.program import first_line, quiet_tracing
from lit_cv.runs.files import replaced

OPSET = 18


def write_onnx(program: ExportedProgram, notes: Mapping[str, Any], file: Path) -> None:
    """Convert a program to ONNX and write it, with an example beside it, ``<stem>_example.py``, that runs it.

    Args:
        program: From one image to a dictionary.
        notes: Written into the file's metadata, as JSON texts by name.
        file: The ONNX file.

    Raises:
        UserError: The packages are missing, or ONNX lacks an operator of the network.
    """
    table = translations()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with quiet_tracing():
        try:
            converted = torch.onnx.export(
                program,
                input_names=["image"],
                dynamic_shapes=({1: "height", 2: "width"},),  # their names in the file
                output_names=list(program.call_spec.out_spec.context),
                opset_version=OPSET,
                custom_translation_table=table,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise UserError(f"{notes['network']} cannot be exported to ONNX: {_cause(error)}.") from error
    assert converted is not None
    converted.model.metadata_props.update({name: json.dumps(note) for name, note in notes.items()})
    with replaced(file) as temporary:
        converted.save(temporary)
    shutil.copyfile(Path(__file__).with_name("run_onnx.py"), example_of(file))


def example_of(file: Path) -> Path:
    """Return the example beside an ONNX file."""
    return file.with_name(f"{file.stem}_example.py")


def _cause(error: BaseException) -> str:
    """Return the first line of the exception at the beginning of a chain."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error) if isinstance(error, Exception) else str(error)

"""A network as a file of ``torch.export``."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from lit_cv.exporting.program import quiet_tracing
from lit_cv.ops.traced.nms import by_offsets
from lit_cv.runs.files import replaced


def write_program(program: ExportedProgram, notes: Mapping[str, Any], file: Path) -> None:
    """Write a program for ``torch.export.load``; it needs torchvision's operators, but not this package.

    Args:
        program: From one image to a dictionary.
        notes: Written into the file, as JSON texts by name.
        file: The file, with the suffix ``.pt2``.
    """
    with quiet_tracing():
        program = program.run_decompositions({torch.ops.lit_cv.grouped_nms.default: by_offsets})
    extra = {name: json.dumps(note) for name, note in notes.items()}
    with replaced(file) as temporary:
        renamed = temporary.with_name(f"{temporary.name}.pt2")  # torch wants the suffix
        torch.export.save(program, renamed, extra_files=extra)
        renamed.replace(temporary)

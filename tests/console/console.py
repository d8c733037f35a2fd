"""The console script inside the test's process, which has imported everything, and small experiments for it."""

import contextlib
import io
import sys
import traceback
from pathlib import Path
from typing import NamedTuple

from lit_cv.cli import main

ROOT = Path(__file__).parents[2]


class Answer(NamedTuple):
    """Exit code, standard output, and the lines of standard error."""

    code: int
    output: str
    errors: list[str]


def litcv(*args: str) -> Answer:
    """Run `litcv ARGS`; an exception that leaves the program becomes its traceback and exit code 1, as in a shell."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            code = main(args)
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
            if isinstance(exit_.code, str):
                print(exit_.code, file=sys.stderr)
        except Exception:
            traceback.print_exc()
            code = 1
    return Answer(code, output.getvalue(), errors.getvalue().splitlines())


def small(shapes: Path, folder: Path, name: str = "ssd") -> list[str]:
    """Return the arguments of a quickstart experiment of one step on a few images, with its runs below `folder`."""
    return [
        *("--config", f"experiments/quickstart/{name}.yaml"),
        *(f"--data.root={shapes}", "--data.source=local", "--data.batch_size=2", "--data.num_workers=0"),
        *("--trainer.max_steps=1", "--trainer.val_check_interval=1", "--trainer.enable_model_summary=false"),
        *(f"--run.root={folder / 'runs'}", "--run.wandb=disabled"),
    ]

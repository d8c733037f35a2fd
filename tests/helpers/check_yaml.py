"""Parse experiments and sweeps with the real parser: `python -m tests.helpers.check_yaml FILE...`, as pre-commit does.

Exits with 1 and one sentence for each bad file.
"""

import sys
from pathlib import Path

from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.errors import UserError
from lit_cv.training.experiment import parsed
from lit_cv.training.preflight import check_trials


def check(path: Path) -> None:
    """Parse an experiment, or every arm of a sweep.

    Args:
        path: of a YAML file below `experiments/` or `sweeps/`; what it names is relative to the working directory.

    Raises:
        UserError: an argument or a metric is not one of the experiment's.
    """
    if path.parts[0] == "sweeps":
        sweep = load_sweep(path)
        check_trials([trial.args for trial in sweep.trials()], sweep.metric.name if sweep.metric else None)
    else:
        parsed(["fit", "--config", str(path)])


def main(files: list[str]) -> int:
    failures = 0
    for file in files:
        try:
            check(Path(file))
        except UserError as error:
            print(f"{file}: {error}")
            failures += 1
    return min(failures, 1)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

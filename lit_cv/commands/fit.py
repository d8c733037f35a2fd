"""`litcv fit`: train an experiment in a run folder of its own."""

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from lit_cv.commands.parsers import Verbs, add_verb, refuse_missing_config
from lit_cv.errors import UserError
from lit_cv.runs.processes import is_first_process

if TYPE_CHECKING:
    from lit_cv.tracking.run import Known

LOCK_SECONDS = 20.0
UNPARSED = ("fit",)
OF_THE_CALL = ("--resume", "--verbose")
MORE = """
FILE is an experiment. Every setting in it can be overridden with a dotted option:
  --model.network.*  the network                 --model.*    task, loss weights, optimizer, schedule
  --data.*           data set, batches           --trainer.*  Lightning's Trainer
  --run.*            group, W&B, folder          --seed_everything
The settings of an experiment: litcv fit FILE --print_config; with their meaning: litcv fit FILE --help
Names for them: litcv list networks | backbones | tasks | datamodules | experiments; litcv list metrics FILE

--resume continues the run from its last checkpoint, or starts it if there is none.
--verbose shows what Lightning, PyTorch and W&B report about themselves."""


def add_parser(verbs: Verbs) -> None:
    """Add `fit`; LightningCLI parses its options, which follow from the experiment."""
    example = "litcv fit experiments/quickstart/ssd.yaml --model.loss_weights.box=2.0 [--resume]"
    parser = add_verb(verbs, "fit", "train an experiment in a run folder of its own", example)
    parser.usage = "litcv fit FILE [--SETTING=VALUE ...] [--resume] [--verbose]"
    parser.description = f"{parser.description}\n{MORE}"


def run_unparsed(verb: str, args: Sequence[str]) -> int:
    """Carry out `litcv fit ARGS`."""
    if args and not args[0].startswith("-"):  # like the other verbs
        args = ["--config", *args]
    if any(arg.partition("=")[0] == "--print_config" for arg in args):
        prepare_process(args)
        from lit_cv.training.lightning_cli import LitCLI

        LitCLI([verb, *(arg for arg in args if arg not in OF_THE_CALL)])
        return 0
    from lit_cv.training.signals import SIGNALS_OF_THIS_PROCESS

    own = [verb, *(arg for arg in args if arg not in OF_THE_CALL)]
    farewell = f"stopped; continue with: {resuming(own)}" if is_first_process() else ""
    with SIGNALS_OF_THIS_PROCESS.held(farewell):
        prepare_process(args)
        fit(own, resume="--resume" in args, verbose="--verbose" in args)
    return 0


def explain(args: Sequence[str]) -> int:
    """Print each setting of an experiment with its meaning: those of its task and data first, the Trainer's later."""
    with redirect_stdout(StringIO()) as printed:
        try:
            run_unparsed("fit", [*args, "--print_config=comments"])
        except SystemExit as end:  # jsonargparse ends the program after it has printed
            if end.code:
                raise
    sections = re.split(r"\n\n(?=\S)", printed.getvalue().rstrip())
    print("\n\n".join(sorted(sections, key=lambda section: not re.search(r"^(model|data):", section, re.MULTILINE))))
    return 0


def resuming(args: Sequence[str]) -> str:
    """Return the command line that continues a run."""
    return shlex.join(["litcv", *args, "--resume"])


def prepare_process(args: Sequence[str]) -> None:
    """Make this process ready for LightningCLI: signals, W&B's service, and its end together with its parent's.

    Raises:
        UserError: A configuration file of `args` is missing or is not a YAML mapping.
    """
    from lit_cv import process_guard
    from lit_cv.training import slurm_task

    # Every run has its own W&B service: the service of a notebook or of another run would write files elsewhere.
    os.environ.pop("WANDB_SERVICE", None)
    if slurm_task.is_task():
        slurm_task.hold_signals()  # before the imports, which take seconds
    refuse_missing_config(args)
    process_guard.die_with_first_rank()
    if "WANDB_SWEEP_ID" in os.environ and os.getpgrp() == os.getpid():  # started by a W&B agent
        process_guard.end_group_with_leader()


def fit(args: Sequence[str], resume: bool, verbose: bool = False) -> None:
    """Train the run that `args` (`["fit", "--config", ...]`) define, in its own folder.

    Under a W&B agent `resume` is on: the agent starts what it is told to, and a run that was begun before continues.

    Raises:
        UserError: The folder already holds a run and `resume` is off, or another process works in it.
    """
    from lit_cv.runs.checkpoints import last_checkpoint
    from lit_cv.runs.files import explain_full_disk, lock
    from lit_cv.runs.folder import is_finished, run_folder
    from lit_cv.runs.relatives import note_of_relative, take_over
    from lit_cv.runs.settings import merged_arguments
    from lit_cv.tracking.run import default_project, identity, logged, under_agent
    from lit_cv.training.lightning_cli import LitCLI
    from lit_cv.training.stopping import orderly_end

    folder = run_folder(args)
    first, given = is_first_process(), merged_arguments(args)
    if given.get("trainer.fast_dev_run"):
        _try_out(args, verbose)
        return
    if (
        first
        and resume
        and not under_agent()
        and not (folder / "run.json").exists()
        and (note := take_over(folder, args))
    ):
        print(note, file=sys.stderr)
    known = identity(folder, given.get("run.wandb", "auto"), given.get("run.project") or default_project())
    if first and under_agent():
        resume = True
        print(f"run: {folder}", flush=True)
    if is_finished(folder):
        if first:
            _repeat_result(folder, known, resume)
        return
    if not first:
        with orderly_end(folder, resuming(args), first):
            LitCLI(args, folder, last_checkpoint(folder / "checkpoints"), verbose=verbose)
        return
    if (folder / "run.json").exists() and not resume:
        if any((folder / "checkpoints").glob("*.ckpt")):
            raise UserError(
                f"{folder}: this run was begun; continue it with `{resuming(args)}`, or delete the folder to start "
                "again."
            )
        print(f"note: an earlier start of this run saved nothing, so it begins again: {folder}", file=sys.stderr)
    if resume and not (folder / "run.json").exists() and (note := note_of_relative(folder, args)):
        print(note, file=sys.stderr)
    busy = f"{folder}: another process is working on this run; wait for it or stop it."
    held = lock(folder / ".lock", busy, patience=LOCK_SECONDS if resume else 0.0)
    with held, explain_full_disk(folder), logged(folder, known), orderly_end(folder, resuming(args), first):
        LitCLI(args, folder, last_checkpoint(folder / "checkpoints"), verbose=verbose)


def _try_out(args: Sequence[str], verbose: bool) -> None:
    """Run a few batches (`trainer.fast_dev_run`) in a temporary folder: it is no run."""
    from lit_cv.training.lightning_cli import LitCLI

    with tempfile.TemporaryDirectory() as folder:
        LitCLI(args, Path(folder), verbose=verbose)
    if is_first_process():
        print("fast_dev_run: training and validation work; nothing is kept.")


def _repeat_result(folder: Path, known: "Known", resume: bool) -> None:
    from lit_cv.tracking.run import tell_finished, under_agent

    if not resume:
        raise UserError(f"{folder}: this run is already finished; delete the folder to do it again.")
    print(f"already finished: {folder / 'result.json'}")
    if under_agent():
        tell_finished(folder, known)

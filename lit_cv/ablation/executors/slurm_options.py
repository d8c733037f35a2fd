"""Slurm resources of a run, as command-line options."""

from argparse import Namespace
from dataclasses import dataclass, fields

from lit_cv.ablation.executors.base import Options
from lit_cv.errors import UsageError


@dataclass(frozen=True)
class Resources:
    """Slurm resources of each run; None leaves the choice to the cluster.

    Args:
        nodes: Machines per run.
        gpus_per_node: GPUs on each machine; 0 requests none.
        tasks_per_node: Processes on each machine; None: one per GPU, or one.
        cpus_per_task: Cores and threads of each process; None: one.
        time: Time limit of a run, in one of Slurm's formats.
        partition: Partition of the cluster.
        account: Account to charge.
        setup: Shell line that prepares a machine, such as ``source .venv/bin/activate``.
        max_parallel: Maximum number of runs at the same time.
        grace: Seconds between Slurm's signal and the end of the time limit, in which a run saves its state.
    """

    nodes: int = 1
    gpus_per_node: int = 0
    tasks_per_node: int | None = None
    cpus_per_task: int | None = None
    time: str | None = None
    partition: str | None = None
    account: str | None = None
    setup: str | None = None
    max_parallel: int | None = None
    grace: int = 120

    @classmethod
    def add_arguments(cls, parser: Options) -> None:
        """Declare one option per field."""
        parser.add_argument("--nodes", type=int, default=cls.nodes, help="machines per run (default: 1)")
        parser.add_argument(
            "--gpus-per-node", type=int, default=cls.gpus_per_node, help="GPUs per machine (default: 0)"
        )
        parser.add_argument("--tasks-per-node", type=int, help="processes per machine (default: one per GPU, or one)")
        parser.add_argument("--cpus-per-task", type=int, help="cores and threads of each process (default: 1)")
        parser.add_argument("--time", help="time limit, such as 30 (minutes), 12:00:00 or 2-00 (two days)")
        parser.add_argument("--partition", help="partition (default: the cluster's)")
        parser.add_argument("--account", help="account to charge (default: yours)")
        parser.add_argument("--setup", metavar="LINE", help='shell line before the run, such as "module load cuda"')
        parser.add_argument("--max-parallel", type=int, metavar="N", help="runs at the same time (default: no limit)")
        parser.add_argument("--grace", type=int, default=cls.grace, metavar="SECONDS",
                           help="time before the end of the time limit at which a run saves its state; must exceed "
                                "the duration of a validation and a checkpoint (default: 120)")  # fmt: skip

    @classmethod
    def of(cls, options: Namespace) -> "Resources":
        """Read the fields from parsed options.

        Raises:
            UsageError: A number is too small.
        """
        resources = cls(**{field.name: getattr(options, field.name) for field in fields(cls)})
        for name, least in (("nodes", 1), ("gpus_per_node", 0), ("tasks_per_node", 1), ("cpus_per_task", 1),
                            ("max_parallel", 1), ("grace", 1)):  # fmt: skip
            number = getattr(resources, name)
            if number is not None and number < least:
                raise UsageError(f"--{name.replace('_', '-')} {number}: give at least {least}.")
        return resources

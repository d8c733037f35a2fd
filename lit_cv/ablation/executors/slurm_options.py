"""What a run asks of Slurm, as options of the command line."""

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, fields

from lit_cv.errors import UsageError


@dataclass(frozen=True)
class Resources:
    """What each run asks of Slurm; None leaves a choice to the cluster.

    Args:
        nodes: machines of a run.
        gpus_per_node: GPUs of a run on each of them; 0 asks for none.
        tasks_per_node: processes on each machine; by default one for each GPU, or one.
        cpus_per_task: cores of each process, which computes with as many threads; one if None.
        time: limit of a run, in one of Slurm's forms.
        partition: of the cluster.
        account: to be charged.
        setup: line of shell that prepares a machine, such as `source .venv/bin/activate`.
        max_parallel: runs at once.
        grace: seconds between Slurm's signal and the end of the time limit, in which a run saves itself.
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
    def add_arguments(cls, parser: ArgumentParser) -> None:
        """Add one option for each of these to the parser."""
        group = parser.add_argument_group("with --executor slurm, for each run")
        group.add_argument("--nodes", type=int, default=cls.nodes, help="machines (1)")
        group.add_argument("--gpus-per-node", type=int, default=cls.gpus_per_node, help="GPUs on each machine (0)")
        group.add_argument("--tasks-per-node", type=int, help="processes on each machine (one a GPU, or one)")
        group.add_argument("--cpus-per-task", type=int, help="cores and threads of each process (one)")
        group.add_argument("--time", help="time limit, such as 30 (minutes), 12:00:00 or 2-00 (two days)")
        group.add_argument("--partition", help="partition (the cluster's default)")
        group.add_argument("--account", help="account that is charged (yours)")
        group.add_argument("--setup", metavar="LINE", help='line of shell before the run, such as "module load cuda"')
        group.add_argument("--max-parallel", type=int, metavar="N", help="runs at once (as many as Slurm starts)")
        group.add_argument("--grace", type=int, default=cls.grace, metavar="SECONDS",
                           help="a run is told to save itself this long before its time is over; longer than a "
                                "validation and a checkpoint take (120)")  # fmt: skip

    @classmethod
    def of(cls, options: Namespace) -> "Resources":
        """Read them from parsed options.

        Raises:
            UsageError: a number is too small.
        """
        resources = cls(**{field.name: getattr(options, field.name) for field in fields(cls)})
        for name, least in (("nodes", 1), ("gpus_per_node", 0), ("tasks_per_node", 1), ("cpus_per_task", 1),
                            ("max_parallel", 1), ("grace", 1)):  # fmt: skip
            number = getattr(resources, name)
            if number is not None and number < least:
                raise UsageError(f"--{name.replace('_', '-')} {number}: give at least {least}.")
        return resources


DEFAULT = Resources()

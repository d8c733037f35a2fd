"""An evaluation that two real processes share."""

import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist
import torch.multiprocessing as mp

Evaluate = Callable[[list[int]], dict[str, Any]]
Shares = Sequence[tuple[list[int], list[int]]]


def in_two_processes(work: Callable[..., None], *args: Any) -> None:
    """Call `work(rank, *args)` in two processes, forked from a server that has imported the metrics."""
    mp.get_context("forkserver").set_forkserver_preload([__name__, "lit_cv.metrics"])
    mp.start_processes(work, args=args, nprocs=2, start_method="forkserver")


def results_of_two(evaluate: Evaluate, shares: Shares, folder: Path) -> list[dict[str, Any]]:
    """Return the results of both processes for each way to share the images."""
    in_two_processes(_work, evaluate, shares, str(folder))
    return [result for rank in range(2) for result in pickle.loads((folder / f"{rank}.pickle").read_bytes())]


def _work(rank: int, evaluate: Evaluate, shares: Shares, folder: str) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    results = [evaluate(share[rank]) for share in shares]
    Path(folder, f"{rank}.pickle").write_bytes(pickle.dumps(results))
    dist.destroy_process_group()

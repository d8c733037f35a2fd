"""Ask W&B's server through its client, in a separate process: `python client.py REQUEST ARGUMENTS`.

The client leaves a service, threads and environment variables behind, which the runs of a sweep must not inherit. The
last line of the output is JSON: `{"answer": ...}` or `{"error": "..."}`. Imports nothing of the package.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import wandb


def check() -> None:
    """Refuse a wrong key and an unreachable server."""
    wandb.Api(timeout=20).viewer  # noqa: B018


def create(config: dict[str, Any], project: str) -> str:
    """Create a sweep and return its `entity/project/id`; the client stores two parts of it in the environment."""
    name = wandb.sweep(config, entity=config.get("entity"), project=project)
    return f"{os.environ['WANDB_ENTITY']}/{os.environ['WANDB_PROJECT']}/{name}"


def runs(path: str, history: bool = False) -> list[dict[str, Any]]:
    """Return the runs of a sweep: `id`, `group`, `state`, `config`, `summary` and, on request, `history` of each."""
    project, _, sweep = path.rpartition("/")
    found = wandb.Api(timeout=20).runs(project, filters={"sweep": sweep}, lazy=False, per_page=200)
    return [
        {
            "id": run.id,
            "group": run.group,
            "state": run.state,
            "config": dict(run.config),
            "summary": dict(run.summary),
            "history": run.history(samples=10_000, pandas=False) if history else [],
        }
        for run in found
    ]


def metric(path: str) -> dict[str, Any] | None:
    """Return the `metric` block of a sweep; None if it has none or the sweep has been deleted."""
    try:
        sweep: Any = wandb.Api(timeout=20).sweep(path)  # type: ignore[no-untyped-call]
    except (wandb.Error, ValueError):
        return None
    return dict(sweep.config["metric"]) if "metric" in sweep.config else None


REQUESTS: dict[str, Callable[..., Any]] = {"check": check, "create": create, "runs": runs, "metric": metric}


def main(request: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Carry out one request."""
    try:
        return {"answer": REQUESTS[request](**arguments)}
    except (wandb.Error, ValueError) as error:
        return {"error": str(error)}


if __name__ == "__main__":
    print(f"\n{json.dumps(main(sys.argv[1], json.loads(sys.argv[2])), default=str)}", flush=True)
    os._exit(0)  # the client's own exit sometimes waits forever for its service, which ends with this process

"""Requests to W&B's server and later uploads. Imports no client."""

import json
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from lit_cv.errors import UserError
from lit_cv.tracking.log import MARKER

REACH_SECONDS = 10.0
CLIENT = Path(__file__).with_name("client.py")


def address() -> str:
    """Return the address of the server."""
    return os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")


def has_key() -> bool:
    """Tell whether W&B would log in without asking."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    netrc = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    host = address().partition("://")[2].partition(":")[0]
    return netrc.is_file() and host in netrc.read_text()


def answers(server: str) -> bool:
    """Tell whether a server answers anything within ``REACH_SECONDS``, its name service included."""
    reached = threading.Event()

    def ask_once() -> None:
        try:
            urlopen(Request(server, method="HEAD"), timeout=REACH_SECONDS).close()
        except HTTPError:
            pass  # an answer
        except (OSError, HTTPException) as error:
            if not isinstance(getattr(error, "reason", error), ssl.SSLError):  # the client has its own certificates
                return
        reached.set()

    asking = threading.Thread(target=ask_once, daemon=True)
    asking.start()
    asking.join(REACH_SECONDS)
    return reached.is_set()


def require_online(option: str) -> None:
    """Refuse an option that needs the server if WANDB_MODE forbids it or there is no key."""
    mode = os.environ.get("WANDB_MODE", "online")
    if mode in ("offline", "disabled", "dryrun"):
        raise UserError(f"{option} needs W&B's server, but WANDB_MODE is {mode}; unset it.")
    if not has_key():
        raise UserError(f"{option} needs a key for W&B at {address()}; set WANDB_API_KEY or call `wandb login`.")


def ask(request: str, **arguments: Any) -> Any:
    """Return the server's answer to a request of `client.py`; it must be JSON.

    Raises:
        UserError: The server refuses the key, cannot be reached, or does not know the requested object.
    """
    command = [sys.executable, "-P", str(CLIENT), request, json.dumps(arguments)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    last = done.stdout.rpartition("\n{")[2]
    if done.returncode or not last:
        raise UserError(f"W&B's client has failed: {' '.join(done.stderr.splitlines()[-1:])}")
    reply = json.loads("{" + last)
    if "error" in reply:
        raise UserError(trouble(reply["error"]))
    return reply["answer"]


def trouble(complaint: str) -> str:
    """Return W&B's complaint and the fix in one sentence."""
    reason = " ".join(complaint.split()).rstrip(".")
    if any(word in reason for word in ("401", "API key", "not logged in")):
        return f"W&B at {address()} does not accept the key ({reason}); fix WANDB_API_KEY, or set WANDB_MODE=offline."
    if "not find" in reason or "not found" in reason:
        return f"W&B at {address()} has no such object ({reason})."
    return f"W&B at {address()} does not answer ({reason}); set WANDB_MODE=offline and sync later."


def upload(logs: Sequence[Path]) -> list[Path]:
    """Upload logs with `wandb sync`, under their ids and groups; return those that failed.

    Raises:
        UserError: The server refuses the key or cannot be reached; `wandb sync` would wait for it forever.
    """
    ask("check")
    _sync(logs)
    for log in _left(logs):
        _sync([log])  # one unreadable log makes `wandb sync` refuse all
    return _left(logs)


def _sync(logs: Sequence[Path]) -> None:
    subprocess.run([sys.executable, "-m", "wandb", "sync", "--include-online", *map(str, logs)])


def _left(logs: Sequence[Path]) -> list[Path]:
    return [log for log in logs if not log.with_suffix(MARKER).exists()]

"""A process that has imported everything a training needs, and forks runs: `python -m lit_cv.fork_server`.

Importing torch and Lightning takes seconds; a fork takes milliseconds. Requests arrive as lines of JSON on the standard
input: `{"id": 1, "args": ["fit", ...], "env": {...}, "log": "runs/.../log.txt"}`. Answers leave on the standard output:
`{"sources": {...}}` after the imports, `{"id": 1, "pid": 42}` when a run has started, `{"id": 1, "code": 0}` when it
has ended. A forked run gives the results of `python -m lit_cv ARGS`, bit for bit.

Forking is safe only while no other thread runs and no GPU is in use; `refuse_unsafe_fork` checks both.
"""

import atexit
import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from lit_cv import process_guard
from lit_cv.errors import UserError

IMPORTED = ("lit_cv.training.lightning_cli", "lit_cv.tasks", "lit_cv.models", "datamodules", "wandb")
POLL_SECONDS = 0.02

Request = dict[str, Any]
Folder = tempfile.TemporaryDirectory[str]


class Server:
    """Fork the requested runs and report their ends, until the standard input closes.

    Args:
        answers: File descriptor for the answers. Every run keeps it open, so it closes after the last run.
    """

    def __init__(self, answers: int) -> None:
        self._answers = answers
        self._runs: dict[int, int] = {}
        self._unread = b""

    def serve(self) -> Request | None:
        """Return None when the input closes, and the request of a run in the process of that run."""
        self._answer(sources=project_sources())
        while True:
            if select.select([0], [], [], POLL_SECONDS)[0]:
                read = os.read(0, 1 << 16)
                if not read:
                    return None
                *lines, self._unread = (self._unread + read).split(b"\n")
                for line in lines:
                    request: Request = json.loads(line)
                    if (pid := fork_run(request)) == 0:
                        return request
                    self._runs[pid] = request["id"]
                    self._answer(id=request["id"], pid=pid)
            self._reap()

    def _reap(self) -> None:
        while self._runs:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._answer(id=self._runs.pop(pid), code=process_guard.exit_code(os.waitstatus_to_exitcode(status)))

    def _answer(self, **content: Any) -> None:
        os.write(self._answers, json.dumps(content).encode() + b"\n")


def fork_run(request: Request) -> int:
    """Fork a guard and, from it, the run; return the guard's process id in the server and 0 in the run."""
    server = os.getpid()
    if pid := os.fork():
        return pid
    os.setpgid(0, 0)
    process_guard.lead_group(server)
    redirect(request["log"])
    leader = os.getpid()
    if run := os.fork():
        os._exit(process_guard.exit_code(os.waitstatus_to_exitcode(os.waitpid(run, 0)[1])))
    process_guard.die_with(leader, signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return 0


def redirect(log: str) -> None:
    """Close the input, and append all output to the log."""
    for target, path, flags in ((0, os.devnull, os.O_RDONLY), (1, log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)):
        opened = os.open(path, flags, 0o666)
        os.dup2(opened, target)
        os.close(opened)
    os.dup2(1, 2)


def run(request: Request, folders: Sequence[Folder]) -> int:
    """Become the process `python -m lit_cv ARGS` of a request; return its exit code.

    Lightning starts the other ranks of DDP with the command line in `sys.argv` and `__main__`.
    """
    for folder in folders:
        tempfile.TemporaryDirectory.__init__(folder)
    os.environ.update(request["env"])
    spec = importlib.util.find_spec("lit_cv.__main__")
    assert spec is not None
    assert spec.origin is not None
    sys.modules["__main__"].__spec__ = spec
    sys.argv = [spec.origin, *request["args"]]
    from lit_cv.cli import main

    return main()


def give_up_temporary_folders() -> list[Folder]:
    """Delete the temporary folders that imports have created (W&B keeps media in one), and return them.

    Each run creates its own in their place: the first run to end would delete a common one.
    """
    folders = [found for found in gc.get_objects() if type(found) is tempfile.TemporaryDirectory]
    for folder in folders:
        folder.cleanup()
    return folders


def refuse_unsafe_fork() -> None:
    """Check that a fork copies the whole process.

    The BLAS libraries of NumPy, SciPy and OpenCV start threads when they are imported, end them before every fork and
    start them again when needed. So after a first fork only threads that no library manages are left.

    Raises:
        UserError: There are such threads, or an import has initialized CUDA.
    """
    import torch

    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        raise UserError("an imported module uses the GPU already, so runs cannot be forked")
    if (probe := os.fork()) == 0:
        os._exit(0)
    os.waitpid(probe, 0)
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        raise UserError(f"imported modules keep {threads - 1} threads running, so runs cannot be forked")


def project_sources() -> dict[str, int]:
    """Return the imported source files outside the interpreter's folders and their modification times (ns)."""
    named = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    files = [Path(name) for name in named if name]
    own = [file for file in files if not file.is_relative_to(sys.prefix) and not file.is_relative_to(sys.base_prefix)]
    return {str(file): file.stat().st_mtime_ns for file in own if file.is_file()}


def main() -> int:
    """Import everything and serve; in the process of a run, carry out that run."""
    process_guard.die_with(int(sys.argv[1]), signal.SIGKILL)
    answers = os.dup(1)
    os.dup2(2, 1)  # the output of an import is no answer
    gc.disable()  # imports leave hardly any garbage, and looking for it takes a second
    for module in IMPORTED:
        importlib.import_module(module)
    try:
        refuse_unsafe_fork()
    except UserError as error:
        print(f"litcv: {error}.", file=sys.stderr)
        return 1
    folders = give_up_temporary_folders()
    gc.collect()
    gc.freeze()  # otherwise the collector writes to, and so copies, every page that the runs share
    gc.enable()
    request = Server(answers).serve()
    if request is not None:
        end_process(lambda: run(request, folders))
    return 0


def end_process(work: Callable[[], int]) -> NoReturn:
    """Do the work of this process and end it as Python would, but without taking the interpreter apart.

    That takes time, and in a fork extension modules report objects of the server as leaked.
    """
    code: Any = 1
    try:
        code = work()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int | None) else 1
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]  # wakes and joins the threads of pools, as Python would
        atexit._run_exitfuncs()
        with suppress(OSError):  # the disk of the log may be full
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code or 0)


if __name__ == "__main__":
    sys.exit(main())

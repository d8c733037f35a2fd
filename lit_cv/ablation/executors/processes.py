"""Processes of runs: forked from a server that has imported everything, or started as new processes."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Protocol

from lit_cv import process_guard
from lit_cv.ablation.sweep.jobs import Job

LOG = "log.txt"
CLOSE_SECONDS = 30.0


class Lost(Exception):
    """The server of a forked run has ended, and therefore the run too."""


class Process(Protocol):
    """The process of a run, including its children."""

    def poll(self) -> int | None:
        """Return the exit code (128 + signal after a kill), or None while the run is active.

        Raises:
            Lost: The run ended only because its server ended.
        """
        ...

    def kill(self) -> None:
        """End the process immediately and wait for it."""
        ...


class Starter:
    """Starts the processes of runs. A context manager that ends all of them on exit.

    A run of lit-cv under this interpreter is forked from a server (``lit_cv.fork_server``). The server is replaced when
    it ends and when a source file has changed, because a new process would read the changed file. Every other command
    is started as a new process, and so is every run once a server has failed to start.

    Args:
        environment: Variables added to the environment of all runs.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment | os.environ
        self._servers: list[Server] = []
        self._started: list[Started] = []
        self._forking = True

    def __enter__(self) -> "Starter":
        return self

    def __exit__(self, *_: Any) -> None:
        for server in self._servers:
            server.close()
        for process in self._started:
            process.kill()

    def wait(self, job: Job, seconds: float) -> None:
        """Wait until a run can be started without delay, at most some seconds."""
        end = time.monotonic() + seconds
        while (
            is_litcv(job.trial.program) and (server := self._server()) and not server.ready and time.monotonic() < end
        ):
            time.sleep(0.01)

    def start(self, job: Job, environment: dict[str, str]) -> Process:
        """Start a run; its output is appended to ``log.txt`` in its folder.

        Raises:
            OSError: The folder or the log cannot be written.
        """
        job.folder.mkdir(parents=True, exist_ok=True)
        with (job.folder / LOG).open("ab") as log:
            if is_litcv(job.trial.program) and (server := self._server()):
                return Forked(server, [*job.trial.args, "--resume"], environment, Path(log.name))
            process = Started(job.command, self._environment | environment, log)
            self._started = [*(other for other in self._started if other.poll() is None), process]
            return process

    def _server(self) -> "Server | None":
        for server in [server for server in self._servers if not server.alive]:
            self._forking &= server.ready  # a server that failed to import everything would fail again
            self._servers.remove(server)
        if self._forking and not (self._servers and self._servers[-1].up_to_date):
            for server in [server for server in self._servers if server.idle]:
                server.close()
            self._servers.append(Server(self._environment))
        return self._servers[-1] if self._forking else None


class Started:
    """A command started as a new process, under ``lit_cv.process_guard``.

    Args:
        command: Words of the command.
        environment: Complete environment of the process.
        log: Open file for the output.
    """

    def __init__(self, command: list[str], environment: dict[str, str], log: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", process_guard.__file__, str(os.getpid()), *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,
        )

    def poll(self) -> int | None:
        """See ``Process``."""
        code = self._process.poll()
        if code:
            process_guard.end_group(self._process.pid)
        return None if code is None else process_guard.exit_code(code)

    def kill(self) -> None:
        """See ``Process``."""
        if self._process.poll() is None:
            process_guard.end_group(self._process.pid)
            self._process.wait()


class Forked:
    """A run forked from a server.

    Args:
        server: The server.
        args: Arguments of the run.
        environment: Variables added to the server's environment.
        log: File for the output.
    """

    def __init__(self, server: "Server", args: list[str], environment: dict[str, str], log: Path) -> None:
        self._server = server
        self._id = server.request(args=args, env=environment, log=str(log))

    def poll(self) -> int | None:
        """See ``Process``."""
        answer = self._server.answer(self._id)
        code: int | None = answer.get("code")
        if code:
            process_guard.end_group(answer["pid"])
        if code is None and not self._server.alive:
            self._server.close()
            raise Lost
        return code

    def kill(self) -> None:
        """See ``Process``."""
        while self._server.alive and "code" not in (answer := self._server.answer(self._id)):
            if "pid" in answer:
                process_guard.end_group(answer["pid"])
            time.sleep(0.01)


class Server:
    """Client of a process that imports everything once and forks the runs; see ``lit_cv.fork_server``."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lit_cv.fork_server", str(os.getpid())],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._output = self._process.stdin, self._process.stdout
        os.set_blocking(self._output.fileno(), False)
        self._unread = b""
        self._sources: dict[str, int] | None = None
        self._answers: list[dict[str, Any]] = []

    @property
    def alive(self) -> bool:
        """Whether the server is running."""
        return self._process.poll() is None

    @property
    def ready(self) -> bool:
        """Whether the server can fork runs."""
        self._read()
        return self._sources is not None

    @property
    def up_to_date(self) -> bool:
        """Whether no source file has changed since its import."""
        self._read()
        return all(_time_of_change(path) == at for path, at in (self._sources or {}).items())

    @property
    def idle(self) -> bool:
        """Whether all runs of the server have ended."""
        self._read()
        return all("code" in answer for answer in self._answers)

    def request(self, **content: Any) -> int:
        """Request a run; return the number that identifies its answers."""
        self._answers.append({})
        number = len(self._answers) - 1
        try:
            self._requests.write(json.dumps({"id": number, **content}).encode() + b"\n")
        except BrokenPipeError:  # the server has just ended; the run's `poll` will notice
            self._process.wait()
        return number

    def answer(self, number: int) -> dict[str, Any]:
        """Return the state of a run: its process id (``pid``) once started, its exit code (``code``) once ended."""
        self._read()
        return self._answers[number]

    def close(self) -> None:
        """End the server and its runs. Wait for the last run, because each one keeps the pipe open."""
        self._process.kill()
        self._process.wait()
        self._read()
        for answer in self._answers:
            if "pid" in answer and "code" not in answer:
                process_guard.end_group(answer["pid"])
        end = time.monotonic() + CLOSE_SECONDS
        while not self._read() and time.monotonic() < end:
            time.sleep(0.01)

    def _read(self) -> bool:
        """Read the messages that have arrived; return whether the other end of the pipe is closed."""
        read: bytes | None = b""
        while read := self._output.read(1 << 16):
            *lines, self._unread = (self._unread + read).split(b"\n")
            for line in lines:
                content = json.loads(line)
                if "sources" in content:
                    self._sources = content["sources"]
                else:
                    self._answers[content["id"]] |= content
        return read == b""


def is_litcv(program: list[str]) -> bool:
    """Return whether a program is lit-cv under this interpreter: ``[env] python -m lit_cv`` or ``[env] litcv``."""
    words = program[1:] if program[:1] == ["/usr/bin/env"] else program
    python = Path(sys.executable)
    expected = {("-m", "lit_cv"): python, (): python.with_name("litcv")}.get(tuple(words[1:]))
    found = shutil.which(words[0]) if words else None
    return found is not None and Path(found) == expected


def _time_of_change(path: str) -> int | None:
    try:
        return os.stat(path).st_mtime_ns
    except FileNotFoundError:
        return None

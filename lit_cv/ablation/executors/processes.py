"""The processes of runs: forked from one that has imported everything, or started as any command is."""

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
    """The server of a forked run has ended, and the run with it."""


class Process(Protocol):
    """The process of a run, with all that it starts."""

    def poll(self) -> int | None:
        """The exit code, 128 + the signal after a kill; None while it runs.

        Raises:
            Lost: it ended only because its server did.
        """
        ...

    def kill(self) -> None:
        """End it at once, and wait until it has ended."""
        ...


class Starter:
    """Starts the processes of runs; use it as a context, at whose end none of them is left.

    A run of lit-cv under this interpreter is forked from a server (`lit_cv.fork_server`), which is replaced when it
    ends and when a source file has changed since, because a new process would have read the new one. Every other
    command, and every run after a server could not be prepared, is a new process.

    Args:
        environment: what is added to the environment of all runs.
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

    def start(self, job: Job, environment: dict[str, str]) -> Process:
        """Start a run; its output is appended to `log.txt` in its folder.

        Raises:
            OSError: the folder or the log cannot be written.
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
            self._forking &= server.ready  # what has failed once to import everything will fail again
            self._servers.remove(server)
        if self._forking and not (self._servers and self._servers[-1].up_to_date):
            for server in [server for server in self._servers if server.idle]:
                server.close()
            self._servers.append(Server(self._environment))
        return self._servers[-1] if self._forking else None


class Started:
    """A command started as a new process, under a process_guard.

    Args:
        command: its words.
        environment: all of its environment.
        log: open file for its output.
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
        """See `Process`."""
        code = self._process.poll()
        if code:
            process_guard.end_group(self._process.pid)
        return None if code is None else process_guard.exit_code(code)

    def kill(self) -> None:
        """See `Process`."""
        if self._process.poll() is None:
            process_guard.end_group(self._process.pid)
            self._process.wait()


class Forked:
    """A run forked from a server.

    Args:
        server: which.
        args: the run's arguments.
        environment: what it has beside the server's environment.
        log: file for its output.
    """

    def __init__(self, server: "Server", args: list[str], environment: dict[str, str], log: Path) -> None:
        self._server = server
        self._id = server.request(args=args, env=environment, log=str(log))

    def poll(self) -> int | None:
        """See `Process`."""
        answer = self._server.answer(self._id)
        code: int | None = answer.get("code")
        if code:
            process_guard.end_group(answer["pid"])
        if code is None and not self._server.alive:
            self._server.close()
            raise Lost
        return code

    def kill(self) -> None:
        """See `Process`."""
        while self._server.alive and "code" not in (answer := self._server.answer(self._id)):
            if "pid" in answer:
                process_guard.end_group(answer["pid"])
            time.sleep(0.01)


class Server:
    """The client of a process that imports everything once and forks the runs: see `lit_cv.fork_server`."""

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
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def ready(self) -> bool:
        """Whether it has come so far as to fork runs."""
        self._read()
        return self._sources is not None

    @property
    def up_to_date(self) -> bool:
        """Whether no source file has changed since it was imported."""
        self._read()
        return all(_time_of_change(path) == at for path, at in (self._sources or {}).items())

    @property
    def idle(self) -> bool:
        """Whether all its runs have ended."""
        self._read()
        return all("code" in answer for answer in self._answers)

    def request(self, **content: Any) -> int:
        """Ask for a run; return the number under which answers to it come."""
        self._answers.append({})
        number = len(self._answers) - 1
        try:
            self._requests.write(json.dumps({"id": number, **content}).encode() + b"\n")
        except BrokenPipeError:  # it has just ended, which the run's `poll` will find
            self._process.wait()
        return number

    def answer(self, number: int) -> dict[str, Any]:
        """What is known of a run: its process id (`pid`) once it has started, its `code` once it has ended."""
        self._read()
        return self._answers[number]

    def close(self) -> None:
        """End it and its runs. Wait for the last of them: each holds the other end of the pipe open."""
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
        """Take in what has arrived; tell whether the other end of the pipe is closed."""
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
    """Whether a trial's program is lit-cv under this interpreter: `[env] python -m lit_cv` or `[env] litcv`."""
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

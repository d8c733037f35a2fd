"""The process that runs `litcv` on mutated inputs: `python -m tests.fuzz.worker FOLDER`.

The first line of standard output is `ready`. Then each line of standard input is `FORMAT SEED`, each line of standard
output a verdict as JSON.
"""

import contextlib
import faulthandler
import hashlib
import io
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from lit_cv.cli import main as litcv
from tests.fuzz.formats import FORMATS
from tests.fuzz.planted import PLANTED

MEMORY = 12 << 30  # bytes: a mutated number may ask for more than the machine has
SAID = ("Traceback (most recent call last)", "Exception ignored", "Fatal Python error")


def main(folder: Path) -> None:
    """Answer every line of standard input."""
    replies = os.fdopen(os.dup(1), "w")
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    faulthandler.register(signal.SIGUSR1, all_threads=False)  # the driver asks where a hanging process is
    print("ready", file=replies, flush=True)
    for line in sys.stdin:
        name, seed = line.split()
        answer = verdict(folder, name, int(seed))
        print(json.dumps(answer), file=replies, flush=True)


def verdict(folder: Path, name: str, seed: int) -> dict[str, Any]:
    """Make input number `seed` of a format, run the program on it, and judge the answer.

    Returns:
        `outcome`: accepted, refused (one sentence, or the list of `doctor`), or uncaught; `seconds`; `arguments`;
        `input`: a digest of the files; `said`: the end of standard error.
    """
    args = prepared(folder, name, seed)
    digest = hashlib.sha256()
    for file in sorted(path for path in Path().rglob("*") if path.is_file()):
        digest.update(str(file).encode() + file.read_bytes())
    if args[0] in ("doctor", "browse"):
        parse_known_experiments_once()
    start = time.monotonic()
    code, output, errors = answered(args)
    return {
        "outcome": judged(code, output, errors),
        "seconds": round(time.monotonic() - start, 2),
        "arguments": args,
        "input": digest.hexdigest(),
        "said": (errors or output)[-3_000:],
    }


def prepared(folder: Path, name: str, seed: int) -> list[str]:
    """Write input number `seed` of a format into `folder/name`, which becomes the working folder; return arguments."""
    kind, valid, work = (FORMATS | PLANTED)[name], folder / f"{name}-valid", folder / name
    if not valid.exists():
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        _enter(work)
        kind.write()
        work.rename(valid)
    _enter(folder)
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(valid, work, symlinks=True)
    _enter(work)
    return kind.spoil(Random(f"{name} {seed}"))


def _enter(folder: Path) -> None:
    os.chdir(folder)
    os.environ["LITCV_CACHE"] = str(folder / "cache")


def answered(args: list[str]) -> tuple[int, str, str]:
    """Run `litcv ARGS`; return exit code, standard output and standard error."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            code = litcv(args)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
            code = 1
    return code, output.getvalue(), errors.getvalue()


def judged(code: int, output: str, errors: str) -> str:
    """Return the outcome of a call."""
    if any(words in errors for words in SAID) or code not in (0, 1, 2):
        return "uncaught"
    if code == 0:
        return "accepted"
    sentences = [line for line in errors.splitlines() if line.startswith("litcv: error: ")]
    return "refused" if len(sentences) == 1 or (not sentences and (output.strip() or errors.strip())) else "uncaught"


@cache
def parse_known_experiments_once() -> None:
    """Keep the parsed form of the project's own experiments: parsing takes ten times as long as reading small data."""
    from lit_cv.training import experiment

    parse: Callable[[list[str]], Any] = experiment.parsed
    known = cache(lambda args: parse(list(args)))

    def parsed(args: list[str]) -> Any:
        return known(tuple(args)).clone() if os.sep in args[2] else parse(args)

    experiment.parsed = parsed  # type: ignore[assignment]


if __name__ == "__main__":
    main(Path(sys.argv[1]))

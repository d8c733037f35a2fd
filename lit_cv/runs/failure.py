"""The reason of a failure in the log of a run."""

import re

LINES = 12  # of a traceback that are shown
FRONT_DOOR = "litcv: error: "
EXCEPTION = re.compile(r"(\[rank\d+\]: ?)?([A-Za-z_]\w*\.)*\w*(Error|Exception|Interrupt|Exit|OutOfMemory)(: .*)?")
NOISE = re.compile(
    r"nanobind: |See https://nanobind| - (leaked|\.\.\. )|wandb: |Exception ignored in|\s*warnings\.warn\("
)


def excerpt(text: str) -> list[str]:
    """Return the lines of a log that tell why its run failed; the last line is the reason itself.

    It is the sentence of an expected failure, else the end of the last traceback, else the last lines. Lines that
    libraries write while a process ends are left out.

    Args:
        text: Log of the last attempt.
    """
    lines = [line.rstrip() for line in text.splitlines()]
    lines = [line for line in lines if line and not NOISE.match(line)]
    sentences = [line for line in lines if line.startswith(FRONT_DOOR)]
    if sentences:
        return [sentences[-1].removeprefix(FRONT_DOOR)]
    ends = [number for number, line in enumerate(lines, 1) if EXCEPTION.fullmatch(line)]
    return lines[: ends[-1] if ends else None][-LINES:]

"""The end of a file that grows: a run's log or its metrics."""

from pathlib import Path

TAIL_BYTES = 1 << 14


def read_tail(path: Path) -> str:
    """The last 16 KiB of a text file, without a first line that is cut off; empty where there is no file."""
    try:
        with path.open("rb") as file:
            start = max(0, path.stat().st_size - TAIL_BYTES)
            file.seek(start)
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return (start and text.partition("\n")[2]) or text

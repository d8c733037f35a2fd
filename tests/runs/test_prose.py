import os
import pty
import subprocess
import sys

TEXT = "note: [bold]" + " words" * 20
CODE = f"from lit_cv.runs.prose import say; say({TEXT!r})"


def test_a_sentence_is_wrapped_between_words_on_a_terminal_and_one_line_elsewhere() -> None:
    command, settings = [sys.executable, "-c", CODE], os.environ | {"COLUMNS": "40", "TERM": "xterm"}
    assert subprocess.run(command, env=settings, capture_output=True, text=True, check=True).stdout == f"{TEXT}\n"
    ours, theirs = pty.openpty()
    subprocess.run(command, env=settings, stdout=theirs, check=True)
    lines = os.read(ours, 4096).decode().split("\r\n")[:-1]
    assert len(lines) > 3
    assert max(map(len, lines)) <= 40
    assert " ".join(line.strip() for line in lines) == TEXT


def test_the_error_of_a_verb_is_wrapped_on_a_terminal() -> None:
    settings = os.environ | {"COLUMNS": "40", "TERM": "xterm"}
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "lit_cv", "valdate", "x"]
    assert subprocess.run(command, env=settings, stderr=theirs, check=False).returncode == 2
    lines = os.read(ours, 4096).decode().split("\r\n")[:-1]
    assert max(map(len, lines)) <= 40
    sentence = "litcv: error: VERB: there is no valdate; did you mean validate or evaluate?"
    assert " ".join(line.strip() for line in lines) == sentence

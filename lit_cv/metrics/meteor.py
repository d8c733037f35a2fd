"""METEOR of phrases: the official program (Denkowski & Lavie 2014), or its formula with exact matches only."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import IO

from lit_cv.errors import UserError

References = tuple[str, ...]
Pair = tuple[str, References]
PairScores = Callable[[Sequence[Pair]], list[float]]

# Parameters of METEOR 1.5 for English, tuned on rankings (its README).
_ALPHA, _BETA, _GAMMA = 0.85, 0.2, 0.6
_BEAM = 40
_TOGETHER = 128  # number of statistics scored by one EVAL line


def find_meteor() -> tuple[str, Path]:
    """Return the paths of Java and of METEOR's jar.

    Raises:
        UserError: If one of them is missing.
    """
    java, package = shutil.which("java"), find_spec("pycocoevalcap")
    if java is None:
        raise UserError(
            "METEOR needs Java, and there is no `java` in PATH: install the package openjdk-17-jre-headless (Debian, "
            "Ubuntu), or choose meteor=exact_match_meteor, which is a different measure."
        )
    if package is None or not package.submodule_search_locations:
        raise UserError(
            "METEOR needs the package pycocoevalcap: install the extra (pip install 'lit-cv[captions]'), or choose "
            "meteor=exact_match_meteor, which is a different measure."
        )
    return java, Path(package.submodule_search_locations[0]) / "meteor" / "meteor-1.5.jar"


def meteor(pairs: Sequence[Pair]) -> list[float]:
    """Compute METEOR 1.5 of each candidate with the official program for English and its tokenizer (``-l en -norm``).

    The program is started once for all pairs, which takes a few seconds. It scores about a thousand pairs per second.

    Args:
        pairs: Candidates, each with its references; the best one counts.

    Returns:
        Scores in [0, 1]; 0 for an empty candidate or without a reference that has a word.

    Raises:
        UserError: If Java or the program is missing, or fails.
    """
    lines = {number: line for number, pair in enumerate(pairs) if (line := _line(*pair))}
    scores = [0.0] * len(pairs)
    if lines:
        with _program() as ask:
            statistics = ask(list(lines.values()), len(lines))
            # Each answer to EVAL ends with the combined score of all its statistics, which is not needed.
            batches = [statistics[start : start + _TOGETHER] for start in range(0, len(lines), _TOGETHER)]
            answers = ask([" ||| ".join(["EVAL", *batch]) for batch in batches], len(lines) + len(batches))
        wanted = [answer for place, answer in enumerate(answers[:-1]) if place % (_TOGETHER + 1) < _TOGETHER]
        for number, answer in zip(lines, wanted, strict=True):
            scores[number] = float(answer)
    return scores


def _line(candidate: str, references: References) -> str | None:
    texts = [text for reference in references if (text := _clean(reference))]
    hypothesis = _clean(candidate)
    return " ||| ".join(["SCORE", *texts, hypothesis]) if texts and hypothesis else None


def _clean(text: str) -> str:
    return " ".join(text.replace("|||", " ").split())


@contextmanager
def _program() -> Iterator[Callable[[list[str], int], list[str]]]:
    """Start the program and yield a function that sends lines and returns the requested number of answer lines."""
    java, jar = find_meteor()
    command = [java, "-Xmx2G", "-Dfile.encoding=UTF-8", "-jar", str(jar), "-", "-", "-stdio", "-l", "en", "-norm"]
    pipe = subprocess.PIPE
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, encoding="utf-8")
        assert process.stdin is not None
        assert process.stdout is not None
        sender, receiver = process.stdin, process.stdout

        def send(lines: list[str]) -> None:
            with suppress(OSError):  # a failure shows as missing answers
                sender.writelines(f"{line}\n" for line in lines)
                sender.flush()

        def ask(lines: list[str], answers: int) -> list[str]:
            # Write in a thread while reading: pipe buffers are small, and the program blocks if its output is not read.
            writer = Thread(target=send, args=(lines,), daemon=True)
            writer.start()
            received = [receiver.readline().strip() for _ in range(answers)]
            writer.join()
            if not all(received):
                raise UserError(f"METEOR's program has stopped ({_last_line(errors)}): check `{java} -jar {jar}`.")
            return received

        try:
            yield ask
        finally:
            process.kill()
            receiver.close()
            with suppress(OSError):
                sender.close()
            process.wait()


def _last_line(file: IO[str]) -> str:
    file.seek(0)
    return (file.read().strip().splitlines() or ["no message"])[-1]


def exact_match_meteor(pairs: Sequence[Pair]) -> list[float]:
    """Compute METEOR's formula with exact word matches only: no stems, synonyms, paraphrases or function words.

    It does not need Java. It is a different measure than METEOR and mostly lower: never put both into one table. The
    parameters are those of METEOR 1.5 for English, except delta, because all words have the same weight. Text is
    converted to lower case and split at whitespace.

    Args:
        pairs: Candidates, each with its references; the best one counts.

    Returns:
        Scores in [0, 1]; 0 for an empty candidate or without a reference that has a word.
    """
    return [
        max((_exact(candidate, reference) for reference in references), default=0.0) for candidate, references in pairs
    ]


def _exact(candidate: str, reference: str) -> float:
    """Evaluate Eq. 1 to 5 of Denkowski & Lavie 2014 with a single matcher and delta 0.5."""
    hypothesis, words = candidate.lower().split(), reference.lower().split()
    matches, chunks = _align(hypothesis, words)
    if not matches:
        return 0.0
    precision, recall = matches / len(hypothesis), matches / len(words)
    mean = precision * recall / (_ALPHA * precision + (1 - _ALPHA) * recall)
    # As in the program, a phrase that equals its reference has no fragmentation penalty.
    fragmentation = 0.0 if hypothesis == words else chunks / matches
    return float(mean * (1 - _GAMMA * fragmentation**_BETA))


def _align(hypothesis: list[str], words: list[str]) -> tuple[int, int]:
    """Return the largest number of matched words and the smallest number of chunks at that number of matches.

    A chunk is a run of words that are matched in the same order and side by side in both phrases. The search is a beam
    search, as in METEOR.
    """
    # Maps (used positions of the reference as bits, position of the last match) to (unmatched words, chunks).
    states = {(0, -2): (0, 0)}
    for word in hypothesis:
        places = [place for place, other in enumerate(words) if other == word]
        following: dict[tuple[int, int], tuple[int, int]] = {}
        for (used, last), (skipped, chunks) in states.items():
            options = [((used, -2), (skipped + 1, chunks))]
            options += [
                ((used | 1 << place, place), (skipped, chunks + (place != last + 1)))
                for place in places
                if not used >> place & 1
            ]
            for state, cost in options:
                following[state] = min(cost, following.get(state, cost))
        states = dict(sorted(following.items(), key=lambda item: item[1])[:_BEAM])
    skipped, chunks = min(states.values())
    return len(hypothesis) - skipped, chunks

"""The exceptions for failures that a user can fix, and the one way from an exception to the sentence on the console."""

import errno
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import ClassVar

# A data-loading worker sends its exception as the text of a traceback.
WORKER = re.compile(r"^lit_cv\.errors\.(UserError|UsageError): (.+?)(?:\n\n|\Z)", re.MULTILINE | re.DOTALL)
ADVICE = {
    errno.ENOENT: "give the path of an existing file or folder",
    errno.EACCES: "change its permissions or choose another place",
    errno.EPERM: "change its permissions or choose another place",
    errno.EROFS: "choose a place that can be written",
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EISDIR: "give the path of a file",
    errno.ENOTDIR: "give a path whose parents are folders",
    errno.EEXIST: "choose another path",
    errno.ENAMETOOLONG: "choose a shorter name",
}
# Errors of libraries that are about the user's settings or machine, by name: nothing heavy is imported here.
LIBRARY = {
    "lightning.fabric.utilities.exceptions.MisconfigurationException": "{}",
    "mlflow.exceptions.MlflowException": "trainer.logger: MLflow refuses: {}",
    "torch._dynamo.exc.TorchDynamoException": "model.compile: torch.compile fails for this network here ({}); set it "
    "to false.",
    "torch.OutOfMemoryError": "the memory of the GPU is full ({}); reduce data.batch_size or the size of the images.",
}


class UserError(Exception):
    """An expected failure: its text is one sentence that names the file (or option) and the fix.

    The front door prints the text without a traceback and exits with 1.
    """

    latest: "ClassVar[tuple[type[UserError], str] | None]" = None  # not the error: its traceback would keep tensors

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        UserError.latest = type(self), _one_line(str(self))


class UsageError(UserError):
    """A mistake on the command line: the front door exits with 2."""


def expected_failure(error: BaseException) -> UserError | None:
    """Find the failure that a user can fix behind an exception.

    It may be the exception itself, or a cause of it: libraries that build classes or run code of the project (the
    parser, Lightning, data-loading workers) raise errors of their own in its place.

    Returns:
        An error whose text is one line; None if the exception is a bug of the program.
    """
    chain = list(_chain(error))
    for link in chain:
        if found := WORKER.search(str(link)):
            return {"UserError": UserError, "UsageError": UsageError}[found[1]](_one_line(found[2]))
        if isinstance(link, UserError):
            return type(link)(_one_line(str(link)))
        # The parser tries every type of a setting and reports the texts of their errors, without the errors.
        kind, latest = UserError.latest or (UserError, "")
        if latest and latest in _one_line(str(link)):
            return kind(latest)
    for link in chain:
        if sentence := _of_library(link):
            return UserError(_one_line(sentence))
    return None


@contextmanager
def plain_failures() -> Iterator[None]:
    """Raise the `UserError` behind an exception of a ``with`` block in its place (see `expected_failure`)."""
    try:
        yield
    except Exception as error:
        if (failure := expected_failure(error)) is None:
            raise
        raise failure from None


@contextmanager
def refused(setting: str) -> Iterator[None]:
    """Turn the error with which a library refuses a value, in a ``with`` block that only calls it, into a sentence.

    Args:
        setting: Dotted name of the setting whose class is called.

    Raises:
        UserError: The library raises ValueError or TypeError.
    """
    try:
        yield
    except (ValueError, TypeError) as error:
        raise UserError(f"{setting}: {_one_line(str(error)).rstrip('.')}; fix its settings.") from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, the exceptions that caused it, and those during whose handling each was raised."""
    seen, waiting = set[int](), [error]
    while waiting:
        link = waiting.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        context = None if link.__suppress_context__ else link.__context__
        waiting += [other for other in (link.__cause__, context) if other is not None]


def _of_library(error: BaseException) -> str | None:
    for kind in type(error).__mro__:
        if template := LIBRARY.get(f"{kind.__module__}.{kind.__name__}"):
            lines = str(error).split("\n")
            return template.format(" ".join(lines[:2]) if lines[0].endswith(":") else lines[0])
    if isinstance(error, OSError) and error.filename is not None and error.errno in ADVICE:
        return f"{error.filename}: {str(error.strerror).lower()}; {ADVICE[error.errno]}."
    return None


def _one_line(text: str) -> str:
    return re.sub(r"\s*\n\s*", " ", text.strip())


def did_you_mean(word: str, choices: Iterable[str], cutoff: float = 0.6) -> str:
    """Return "; did you mean NAME?" with up to three of the choices that are nearest to a word; empty if none is.

    Args:
        word: What was typed.
        choices: The known names.
        cutoff: Lowest similarity, in [0, 1].
    """
    by_lower = {choice.lower(): choice for choice in choices}
    near = get_close_matches(word.lower(), by_lower, n=3, cutoff=cutoff)
    return f"; did you mean {' or '.join(by_lower[name] for name in near)}?" if near else ""


def nearest(word: str, choices: Iterable[str], most: int = 12) -> list[str]:
    """Return all choices in their order, or, if there are more than `most`, the five nearest to a word."""
    listed = list(dict.fromkeys(choices))
    return listed if len(listed) <= most else get_close_matches(word, listed, n=5, cutoff=0.0)

"""Text files that users write: lists of images and of classes."""

import codecs
from pathlib import Path

from lit_cv.errors import UserError

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, or in UTF-16 with its byte-order mark; the mark is left out.

    Raises:
        UserError: If the file cannot be read, or its text is encoded in another way.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): restore the file or its permissions.") from None
    try:
        text = data.decode("utf-16" if data.startswith(_UTF16) else "utf-8-sig")
    except UnicodeError as error:
        raise UserError(f"{path} is not text in UTF-8 ({error}): save it as UTF-8.") from None
    if "\0" in text:
        raise UserError(f"{path} holds null characters, so it is no text in UTF-8: save it as UTF-8.")
    return text

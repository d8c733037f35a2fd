"""Import albumentations without its search for a newer version on the network; leave the environment as it was."""

import os

NAME = "NO_ALBUMENTATIONS_UPDATE"

_given = NAME in os.environ
os.environ.setdefault(NAME, "1")
try:
    import albumentations  # noqa: F401
finally:
    if not _given:
        del os.environ[NAME]

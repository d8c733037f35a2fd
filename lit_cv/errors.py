"""The exceptions for failures that a user can fix."""


class UserError(Exception):
    """An expected failure: its text is one sentence that names the file (or option) and the fix.

    The front door prints the text without a traceback and exits with 1.
    """


class UsageError(UserError):
    """A mistake on the command line: the front door exits with 2."""

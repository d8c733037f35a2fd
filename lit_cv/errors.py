"""The one exception for what a user can mend."""


class UserError(Exception):
    """An expected failure: its text is one sentence that names the file (or option) and the mend.

    The front door prints the text without a traceback and exits with 1.
    """


class UsageError(UserError):
    """A mistake on the command line: the front door exits with 2."""


"""Whom a reader tells of what it cannot use; it leaves that out and goes on, unless the call raises."""

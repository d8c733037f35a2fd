"""Sentences on the console."""

import sys


def say(sentence: str, error: bool = False) -> None:
    """Print a sentence: wrapped between words on a terminal, one line elsewhere.

    Args:
        sentence: The text, printed as it is.
        error: Whether to print to the standard error.
    """
    from rich.console import Console  # imported here because the imports of a sweep's side are light

    console = Console(file=sys.stderr if error else sys.stdout, highlight=False, markup=False, emoji=False)
    console.print(sentence, soft_wrap=not console.is_terminal)

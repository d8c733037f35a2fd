"""`litcv completion SHELL`: print the script that completes verbs, options and files in a shell."""

import argparse

from lit_cv.commands.parsers import Verbs, add_verb


def add_parser(verbs: Verbs) -> None:
    """Add `completion`."""
    parser = add_verb(verbs, "completion", "print the script that completes litcv's command lines in a shell",
                      'eval "$(litcv completion bash)"   # in ~/.bashrc', _run)  # fmt: skip
    parser.add_argument("shell", choices=["bash", "zsh", "fish"], help="bash, zsh or fish")


def _run(options: argparse.Namespace) -> int:
    from argcomplete.shell_integration import shellcode

    print(shellcode(["litcv"], shell=options.shell))
    return 0

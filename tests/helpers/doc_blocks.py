"""The fenced code blocks of README.md and docs/, and the commands in them.

Blocks in `bash`, `console`, `sh` and `shell` hold commands. `<!-- test: run -->` above a block has it run as it stands;
every other block of commands is parsed by the real parsers. A block of any language with `title="path"` is a file that
the commands of its page may use.
"""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
SHELL = ("bash", "console", "sh", "shell")
MARKERS = ("run",)
COMMAND = re.compile(r"^ *(\$ |(\w+=\S+ )*(\.venv/bin/)?(litcv|make|python|pip|uv|git|wandb|sbatch)( |$))")

_FENCE = re.compile(r"^( *)(```+|~~~+) *(\S*)(.*)$")
_MARKER = re.compile(r"^ *<!-- *test: *(.*?) *-->$")
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        place: page and line, for messages.
        language: the first word after the fence.
        marker: what the comment above it asks for; None without a comment.
        title: path of the file that it holds, None if it holds none.
        lines: its content.
    """

    place: str
    language: str
    marker: str | None
    title: str | None
    lines: tuple[str, ...]

    @property
    def is_shell(self) -> bool:
        """Whether it holds commands."""
        return self.language in SHELL

    @property
    def commands(self) -> list[str]:
        """Its commands, one a line: continued lines joined, comments, prompts and output left out."""
        lines = list(self.lines)
        if self.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        text = "\n".join(lines).replace("\\\n", " ")
        return [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def read_blocks(text: str, name: str) -> list[Block]:
    """Return the blocks of a page.

    Args:
        text: its Markdown.
        name: of the page, for `Block.place`.
    """
    blocks: list[Block] = []
    above, opened, lines, start = "", None, [], 0
    for number, line in enumerate(text.splitlines(), 1):
        if opened is None:
            if fence := _FENCE.match(line):
                opened, lines, start = (fence, above), [], number
            elif line.strip():
                above = line
            continue
        fence, before = opened
        if line.strip() == fence[2]:
            marker, title = _MARKER.match(before), _TITLE.search(fence[4])
            indent = len(fence[1])
            content = tuple(text[indent:] for text in lines)
            blocks.append(Block(f"{name}:{start}", fence[3], marker and marker[1], title and title[1], content))
            opened, above = None, ""
        else:
            lines.append(line)
    assert opened is None, f"{name}:{start}: this block does not end"
    return blocks


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page of the project."""
    return read_blocks(page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix())


def changes_package(blocks: Iterable[Block]) -> bool:
    """Return whether a page writes a file into the package, which its commands need."""
    return any(block.title and block.title.startswith("lit_cv/") for block in blocks)


def words_of(command: str) -> tuple[dict[str, str], list[str]]:
    """Split a command into the variables that it sets and its words.

    Raises:
        AssertionError: it is more than one plain command.
    """
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    joined = [word for word in words if set(word) <= set("();<>|&")]
    assert not joined, f"`{command}`: write one plain command a line, without {joined[0]}"
    environment: dict[str, str] = {}
    while words and re.match(r"^[A-Z_]+=", words[0]):
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    assert words, f"`{command}` runs no program"
    return environment, words


def hidden_commands(text: str) -> list[str]:
    """Return the lines of a page that look like commands outside a block of commands."""
    blocks, found, fenced = read_blocks(text, ""), [], set()
    for block in blocks:
        start = int(block.place[1:])
        fenced |= set(range(start, start + len(block.lines) + 2))
        if not block.is_shell and not block.title:
            found += [line for line in block.lines if COMMAND.match(line)]
    for number, line in enumerate(text.splitlines(), 1):
        if number not in fenced and line.startswith("    ") and COMMAND.match(line):
            found.append(line)
    return found

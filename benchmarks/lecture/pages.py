"""Writes the generated parts of ``docs/lecture`` and its figures from the records, and checks that they are up to date.

A page is prose by hand around blocks between ``<!-- claim: NAME -->`` and ``<!-- end -->``, one for each claim. A block
that a page does not have is added to its end.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.lecture.claims import CLAIMS, Claim, load_claims, load_table
from benchmarks.lecture.figures import draw, drawn_numbers, numbers
from benchmarks.lecture.records import load_record, same_sweep, seconds, unpack
from benchmarks.lecture.verdicts import Answer, answer
from lit_cv.ablation.results.cells import columns, padded, score
from lit_cv.ablation.results.tables import Table
from lit_cv.ablation.sweep.labels import duration
from lit_cv.ablation.sweep.labels import level as show_level
from lit_cv.errors import UserError
from lit_cv.runs.files import replaced

RECORDS = Path("benchmarks/results/lecture")
PAGES = Path("docs/lecture")
IMAGES = Path("docs/images/lecture")
SHOWN = ("claim", "params", "GFLOPs", "ms/image")  # columns after the metric and the difference
WORKERS = 2  # runs at once of `make lecture`
BLOCK = "<!-- {} -->\n{}\n<!-- end -->"
NOT_RUN = "not run yet"
END = "<!-- end -->"
OPEN = "<!-- open -->"  # the last block of a page


class Built:
    """The pages and figures that the records give.

    Attributes:
        pages: Text of each page.
        figures: Numbers of each figure, and what draws it.
    """

    def __init__(self, root: Path) -> None:
        self.pages: dict[Path, str] = {}
        self.figures: dict[Path, tuple[str, Callable[[], None]]] = {}
        claims, table = load_claims(root), load_table(root)
        _refuse_strangers(root, claims)
        verdicts, blocks = dict[str, str](), dict[str, str]()
        for claim in claims:
            found = answered(claim, root)
            verdicts[claim.name] = f"**{found.verdict}**" if found else NOT_RUN
            blocks[claim.name] = "\n\n".join(_block(claim, found, root))
            if found:
                file = root / IMAGES / f"{claim.name}.svg"
                self.figures[file] = (numbers(found), partial(draw, found, file))
        for page in dict.fromkeys(page for page, _ in table.values()):
            own = {f"claim: {claim.name}": blocks[claim.name] for claim in claims if claim.page == page}
            open_ones = _open_claims(page, claims, table)
            self._fill(root / PAGES / f"{page}.md", {**own, "open": open_ones})
        self._fill(root / PAGES / "index.md", {"table": _index(claims, table, verdicts)})

    def _fill(self, page: Path, blocks: Mapping[str, str]) -> None:
        """Put the blocks into the text of a page."""
        if not page.is_file():
            raise UserError(f"{page}: there is no such page; write it with a title and what it is about.")
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"<!-- (claim: \w+) -->", text):
            if name not in blocks:
                raise UserError(f"{page}: `{name}` is no claim of this page; delete its block, or add it to {CLAIMS}.")
        for name, content in blocks.items():
            begin, block = f"<!-- {name} -->", BLOCK.format(name, content)
            before, found, rest = text.partition(begin)
            if not found:
                above, last, below = text.partition(OPEN)
                text = f"{above.rstrip()}\n\n{block}\n" + (f"\n{last}{below}" if last else "")
            elif END not in rest:
                raise UserError(f"{page}: the block `{name}` has no end; close it with {END}.")
            else:
                text = before + block + rest.partition(END)[2]
        self.pages[page] = text


def answered(claim: Claim, root: Path) -> Answer | None:
    """Return the answer that the record of a claim gives; None without a record.

    Raises:
        UserError: The record is of another sweep, or its runs are not comparable.
    """
    file = root / RECORDS / f"{claim.name}.json"
    if not file.is_file():
        return None
    record = load_record(file)
    if not same_sweep(record, root / claim.sweep):
        raise UserError(f"{file}: is of another {claim.sweep} than the present one; run `make lecture` again.")
    with TemporaryDirectory() as folder:
        return answer(claim, unpack(record, Path(folder)))


def _refuse_strangers(root: Path, claims: Sequence[Claim]) -> None:
    names = [claim.name for claim in claims]
    for file in sorted((root / RECORDS).glob("*.json")):
        if file.stem not in names:
            raise UserError(f"{file}: {CLAIMS} has no entry {file.stem}; add it, or delete the record.")


def _title(name: str) -> str:
    first, *others = name.split("_")
    return " ".join([first.capitalize(), *(word.upper() if word in ("voc", "coco") else word for word in others)])


def _block(claim: Claim, found: Answer | None, root: Path) -> Iterator[str]:
    """Yield the paragraphs of a claim."""
    yield f"## {claim.number}. {_title(claim.name)}"
    yield f"**Claim.** {claim.claim}"
    if claim.question:
        yield f"**Question.** {claim.question}"
    if (root / IMAGES / f"{claim.name}-method.svg").is_file():
        yield f"![The compared methods of {claim.name}](../images/lecture/{claim.name}-method.svg){{ .drawing }}"
    yield f"```bash\nlitcv sweep {claim.sweep.as_posix()}\n```"
    if found is None:
        yield f"**Verdict: {NOT_RUN}.**"
    else:
        yield from _result(claim, found, root)
    yield f"**At the scale of the papers.** {claim.paper_scale}"


def _result(claim: Claim, found: Answer, root: Path) -> Iterator[str]:
    yield f"**Verdict: {found.verdict}.**"
    yield "\n".join(f"- {outcome.words}." for outcome in found.outcomes)
    yield from (padded(_cells(table)).rstrip() for table in found.tables.values())
    if found.more:
        yield padded(_means(found.more)).rstrip()
    yield f"![Scores of all seeds and differences to the baseline](../images/lecture/{claim.name}.svg){{ .drawing }}"
    yield f"{found.facts} · {_time(seconds(load_record(root / RECORDS / f'{claim.name}.json')))}"
    if found.warnings:
        yield "The report warns:\n\n" + "\n".join(f"- {warning}" for warning in found.warnings)


def _time(of_runs: Sequence[float]) -> str:
    whole = sum(of_runs)
    each = f"{len(of_runs)} runs of {duration(whole / len(of_runs))}, {WORKERS} at once"
    return f"wall time {duration(whole / WORKERS)} ({each})"


def _cells(table: Table) -> list[list[str]]:
    """Return the columns of the report that a page shows."""
    every = columns(table)
    shown = [*every[:2], *(column for column in every[2:] if column.name in SHOWN)]
    header = [*table.names.values(), *(column.name for column in shown)]
    lines = [
        [*(show_level(key, row.arm.values[key]) for key in table.names), *(column.text(row) for column in shown)]
        for row in table.rows
    ]
    return [header, *lines]


def _means(tables: Sequence[Table]) -> list[list[str]]:
    """Return the scores of all arms, one line for each table."""
    header = ["", *(row.arm.label for row in tables[0].rows)]
    return [header, *([table.title, *(score(table, row) for row in table.rows)] for table in tables)]


def _open_claims(page: str, claims: Sequence[Claim], table: Mapping[int, tuple[str, str]]) -> str:
    """Return the claims of a page that have no entry yet, one line each."""
    entered = {claim.number for claim in claims}
    left = [(number, text) for number, (own, text) in table.items() if own == page and number not in entered]
    return "\n\n".join(f"**{number}.** {text} Verdict: {NOT_RUN}." for number, text in left)


def _index(claims: Sequence[Claim], table: Mapping[int, tuple[str, str]], verdicts: Mapping[str, str]) -> str:
    """Return the table of all claims with their verdicts."""
    lines = [["#", "claim", "sweep", "verdict"]]
    for number, (page, text) in sorted(table.items()):
        own = [claim for claim in claims if claim.number == number]
        lines += [
            [f"[{number}]({page}.md)", claim.claim, f"`lecture/{claim.name}`", verdicts[claim.name]] for claim in own
        ]
        if not own:
            lines.append([f"[{number}]({page}.md)", text, "–", NOT_RUN])
    return padded(lines).rstrip()


def write(root: Path) -> list[Path]:
    """Write the pages and figures that are not what the records give; return them."""
    built, written = Built(root), []
    for page, text in built.pages.items():
        if page.read_text(encoding="utf-8") != text:
            with replaced(page) as temporary:
                temporary.write_text(text, encoding="utf-8")
            written.append(page)
    for file, (shown, paint) in built.figures.items():
        if drawn_numbers(file) != shown:
            paint()
            written.append(file)
    return written


def check(root: Path) -> list[str]:
    """Return one sentence for each page or figure that is not what the records give."""
    built = Built(root)
    old = [page for page, text in built.pages.items() if page.read_text(encoding="utf-8") != text]
    old += [file for file, (shown, _) in built.figures.items() if drawn_numbers(file) != shown]
    return [f"{file.relative_to(root)}: is not what its records give; run `make lecture-page`." for file in old]

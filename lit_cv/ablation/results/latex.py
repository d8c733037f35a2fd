"""The table of a report in LaTeX."""

from lit_cv.ablation.results.cells import cells
from lit_cv.ablation.results.tables import Table

ROWS_OF_A_PAGE = 40
LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "{}$&#%_"},
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "×": r"$\times$",
    "–": "--",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",  # \textquotedbl needs fonts in T1 encoding
}


def latex(table: Table) -> str:
    """Return the table in LaTeX, with the package booktabs, and longtable if it is longer than a page."""
    header, *rows = [" & ".join(map(escape_latex, line)) + r" \\" for line in cells(table)]
    factors, numbers = len(table.names), len(cells(table)[0]) - len(table.names)
    repeated = [r"\endhead"] if len(rows) > ROWS_OF_A_PAGE else []
    body = [r"\toprule", header, r"\midrule", *repeated, *rows, r"\bottomrule"]
    kind = "longtable" if len(rows) > ROWS_OF_A_PAGE else "tabular"
    return "\n".join([rf"\begin{{{kind}}}{{{'l' * factors}{'r' * numbers}}}", *body, rf"\end{{{kind}}}"]) + "\n"


def escape_latex(text: str) -> str:
    """Escape LaTeX's special characters."""
    return "".join(LATEX.get(sign, sign) for sign in text)

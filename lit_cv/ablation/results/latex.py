"""The table of a report in LaTeX, for pdfLaTeX, XeLaTeX and LuaLaTeX."""

import re
import unicodedata
from collections.abc import Sequence

from lit_cv.ablation.results.cells import cells
from lit_cv.ablation.results.tables import Table

ROWS_OF_A_PAGE = 40
SIGNS = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "{}$&#%_"},
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",  # \textquotedbl needs fonts in T1 encoding
    "`": r"\textasciigrave{}",  # a ligature with ? and !
    "–": "--",
    "—": "---",
    "…": r"\dots{}",
    "\N{LEFT SINGLE QUOTATION MARK}": "`",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "“": "``",
    "”": "''",
    **{sign: f"${name}$" for sign, name in {
        "±": r"\pm", "×": r"\times", "·": r"\cdot", "°": r"{}^\circ", "\N{MINUS SIGN}": "-", "→": r"\to", "≤": r"\le",
        "≥": r"\ge", "≠": r"\ne", "≈": r"\approx", "∞": r"\infty", "√": r"\surd", "²": "{}^2", "³": "{}^3",
        "\N{MICRO SIGN}": r"\mu",
    }.items()},
    **{letter: f"\\{name}{{}}" for letter, name in {
        "ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "ı": "i",
        "§": "S", "¶": "P", "©": "copyright", "£": "pounds",
    }.items()},
}  # fmt: skip
ACCENTS = {"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
           "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c"}  # fmt: skip
GREEK = re.compile(r"GREEK (SMALL|CAPITAL) LETTER (\w+)")
GREEK_CAPITAL = ("gamma", "delta", "theta", "lambda", "xi", "pi", "sigma", "upsilon", "phi", "psi", "omega")
GREEK_SMALL = (
    *GREEK_CAPITAL,
    "alpha",
    "beta",
    "epsilon",
    "zeta",
    "eta",
    "iota",
    "kappa",
    "mu",
    "nu",
    "rho",
    "tau",
    "chi",
)
LIGATURE = re.compile(r"(?<=-)(?=-)|(?<=')(?=')|(?<=,)(?=,)")
MINUS = re.compile(r"(?<![\w-])-(?=\.?\d)")


def latex(table: Table) -> str:
    """Return the table in LaTeX, with the package booktabs, and longtable if it is longer than a page."""
    lines = cells(table)
    header, *rows = [_row(line) for line in lines]
    factors, numbers = len(table.names), len(lines[0]) - len(table.names)
    repeated = [r"\endhead"] if len(rows) > ROWS_OF_A_PAGE else []
    body = [r"\toprule", header, r"\midrule", *repeated, *rows, r"\bottomrule"]
    kind = "longtable" if len(rows) > ROWS_OF_A_PAGE else "tabular"
    return "\n".join([rf"\begin{{{kind}}}{{{'l' * factors}{'r' * numbers}}}", *body, rf"\end{{{kind}}}"]) + "\n"


def _row(line: Sequence[str]) -> str:
    text = " & ".join(map(escape_latex, line))
    # \\ and \midrule would take a following * or [...] as their argument.
    return ("{}" if text.startswith(("[", "*")) else "") + text + r" \\"


def escape_latex(text: str) -> str:
    """Return a text that LaTeX prints as it is.

    Characters that pdfLaTeX cannot print, such as those of Chinese, become themselves in XeLaTeX and LuaLaTeX, and
    their code point (U+72D7) in pdfLaTeX.
    """
    text = MINUS.sub("\N{MINUS SIGN}", " ".join(unicodedata.normalize("NFC", text).split()))
    return "{}".join("".join(map(_sign, part)) for part in re.split(LIGATURE, text))


def _sign(sign: str) -> str:
    if sign in SIGNS:
        return SIGNS[sign]
    if " " <= sign <= "~":
        return sign
    parts = unicodedata.normalize("NFD", sign)
    base, accent = parts[0], parts[1:]
    if accent in ACCENTS and base.isascii() and base.isalpha():
        return f"\\{ACCENTS[accent]}{{{base if base not in 'ij' else chr(92) + base}}}"
    if letter := GREEK.fullmatch(unicodedata.name(sign, "")):
        name = letter[2].lower().replace("lamda", "lambda")
        if name in GREEK_SMALL and letter[1] == "SMALL":
            return f"$\\{name}$"
        if name in GREEK_CAPITAL and letter[1] == "CAPITAL":
            return f"$\\{name.capitalize()}$"
    return rf"\ifdefined\Umathchar {sign}\else U+{ord(sign):04X}\fi{{}}" if sign.isprintable() else ""

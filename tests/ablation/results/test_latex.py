"""The LaTeX table: it prints the content of its cells, and every name compiles."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lit_cv.ablation.results.latex import ROWS_OF_A_PAGE, escape_latex, latex
from lit_cv.ablation.results.metric_facts import MetricFacts
from lit_cv.ablation.results.study import Arm
from lit_cv.ablation.results.tables import Row, Table
from lit_cv.ablation.sweep.labels import short_names
from lit_cv.ablation.sweep.sweep_file import load_sweep

SWEEPS = Path(__file__).parents[3] / "sweeps"
DOCUMENT = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage{booktabs,longtable}
\begin{document}
%s
\end{document}
"""
NASTY = [
    "[1, 2]", "[[2], [2, 3]]", "[", "]", "[]", "*", "*args", "**", "-1", "-0.5", "--flag", "a--b", "---", "-", "a_b",
    "50%", "x & y", "{y}", "}{", "$x$", "#1", "a\\b", "\\", "\\\\", "\\input{x}", "~", "^", "a|b", "<b>", '"quoted"',
    "'single'", "`tick`", "?`", "狗", "自行车 42", "日本語", "한국어", "é à ü ñ ç å ö", "naïve façade", "Łódź, Ørsted",
    "straße", "αβγ Ω Δ λ ο", "µm, 3 × 4 ± 2", "10−5", "→ ≤ ≥ ≠ ∞", "«guillemets»", "ąęþð", "€ £ § ©", "🚲 emoji",
    "кириллица", "עברית", "tab\there", "line\nbreak", "zero\u200bwidth", "e\u0301 combining", "\u0301alone", "", " ",
    "…“”‘’–—", ",,low", "%% comment", "\x07bell",
]  # fmt: skip


def table_of(levels):
    """Return a table with one row for each combination of swept values."""
    rows = [Row(Arm(values), {1: 0.5, 2: 0.4}, None, -1.5, 1e6, 3.2, None, None) for values in levels]
    names = short_names(list(levels[0]))
    return Table("val/map_50", MetricFacts(True, True), names, rows[0].arm, rows, seeds=2)


def compile_latex(folder, texts):
    (folder / "t.tex").write_text(DOCUMENT % "\n\n".join(texts), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, (folder / "t.log").read_text(errors="replace")[-1500:]


def published_tables():
    for file in sorted((SWEEPS / "published").glob("*.csv")):
        sweep = load_sweep(SWEEPS / f"{file.stem}.yaml")
        keys = sweep.swept()
        yield table_of([{key: trial.values[key] for key in keys} for trial in sweep.trials()])


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs LaTeX")
@pytest.mark.parametrize("key", ["model.kind", "[nasty]*key_[]"])
def test_every_nasty_name_compiles(tmp_path, key):
    texts = [latex(table_of([{key: name}, {key: "plain"}])) for name in NASTY]
    compile_latex(tmp_path, [*texts, latex(table_of([{key: name} for name in NASTY * 2]))])


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs LaTeX")
def test_every_published_sweep_compiles(tmp_path):
    tables = list(published_tables())
    assert len(tables) > 10
    compile_latex(tmp_path, map(latex, tables))


def test_no_row_can_be_taken_as_an_argument():
    """A line break and a rule take a following star or bracket as their argument, with or without LaTeX at hand."""
    for table in [*published_tables(), *(table_of([{"a.b": name}] * (ROWS_OF_A_PAGE + 1)) for name in NASTY)]:
        text = latex(table)
        assert not re.search(r"(\\\\|rule|\\endhead)\s*[*\[]", text)
        rows = [line for line in text.splitlines() if line.endswith(r"\\")]
        cells = [re.sub(r"\\[&\\]", "", line.removesuffix(r"\\")).count("&") for line in rows]
        assert len(set(cells)) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-0.5", "$-$0.5"),
        ("+1.0 [-4.9, +6.8]", "+1.0 [$-$4.9, +6.8]"),
        ("resnet-50", "resnet-50"),
        ("a--b", "a-{}-b"),
        ("12.7–46.0", "12.7--46.0"),
        ("a*b", "a*b"),
        ("é ß λ Ω", r"\'{e} \ss{} $\lambda$ $\Omega$"),
        ("狗", r"\ifdefined\Umathchar 狗\else U+72D7\fi{}"),
        ("a\n\tb\x07", "a b"),
        ("a\\b^~#$", r"a\textbackslash{}b\textasciicircum{}\textasciitilde{}\#\$"),
    ],
)
def test_signs(text, expected):
    assert escape_latex(text) == expected

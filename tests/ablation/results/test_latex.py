"""The LaTeX table: it prints the content of its cells, and every name compiles."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from lit_cv.ablation.results.cells import cells
from lit_cv.ablation.results.latex import ROWS_OF_A_PAGE, escape_latex, latex
from lit_cv.ablation.results.metric_facts import MetricFacts
from lit_cv.ablation.results.study import Arm
from lit_cv.ablation.results.tables import Row, Table
from lit_cv.ablation.statistics.difference import Difference, Probability
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
def test_every_column_compiles_beside_nasty_names(tmp_path):
    names = ["a_b", "50%", "x & y", "#1", "[1, 2]", "*args", "狗", "plain"]
    better, none, worse = (
        Difference(1.5, 0.5, 2.5, 2, own_variance=True),
        Difference(0.1, -1, 1.2, 2),
        Difference(-9, -9.5, -8.5, 2),
    )
    table = table_of([{"model.[kind]_%": name} for name in names])
    filled = [
        replace(row, difference=gap, images=gap, combined=gap, claim=gap.claim(maximize=True), p=0.25,
                superiority=Probability(0.5, 0.0, 1.0), gigabytes=1.25, published_std=0.2)
        for row, gap in zip(table.rows[1:], [better, none, worse, better, none, worse, better], strict=True)
    ]  # fmt: skip
    table = replace(table, rows=[table.rows[0], *filled])
    header, *lines = cells(table)
    columns = ["Δ to baseline [95 %, 7 arms compared]", "claim", "over images [95 %]", "over seeds and images [95 %]"]
    assert header[2:8] == [*columns, "better on a new seed", "sign-flip p"]
    assert {"published", "GB"} <= set(header)
    assert all(len(line) == len(header) and all(line[1:]) for line in lines)
    compile_latex(tmp_path, [latex(table)])


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

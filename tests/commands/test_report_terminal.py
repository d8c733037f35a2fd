from lit_cv.commands.terminal import fitted

REPORT = """# ablation

2 paired seeds · 360 steps · 100 validation images · commit 15a401d · controlled: yes

| anchor_scales | val/map_50 | Δ to baseline [95 %] | ms/image |
| ------------- | ---------- | -------------------- | -------- |
| a \\| b        | 72.0 ± 3.8 | baseline             | 6.7–11.4 |

- these runs differ in a setting that has a long name: model.network.anchor_scales
"""


def test_a_wide_terminal_gets_the_report_as_it_is() -> None:
    assert fitted(REPORT, 100) == REPORT.rstrip("\n")


def test_in_a_narrow_terminal_the_last_columns_are_named_and_no_line_is_too_long() -> None:
    lines = fitted(REPORT, 60).splitlines()
    assert max(map(len, lines)) <= 60
    assert "| a \\| b        | 72.0 ± 3.8 | baseline             |" in lines
    assert "Not shown, since the terminal is narrow: ms/image." in lines
    assert lines[-1] == "  model.network.anchor_scales"
    assert "| anchor_scales |" in fitted(REPORT, 5).splitlines()  # the first column is always shown

"""The report of an ablation: Markdown, HTML, CSV and LaTeX."""

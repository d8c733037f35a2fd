"""The counts of the analyses, as arrays; no page and no file."""

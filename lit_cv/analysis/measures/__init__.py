"""What the analyses count, as arrays; no page and no file."""

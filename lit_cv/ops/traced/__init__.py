"""Operators that ``torch.export`` can trace, where the usual ones have branches or other digits."""

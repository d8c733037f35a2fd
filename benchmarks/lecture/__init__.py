"""The lecture, answered by experiments: its claims, the records of their sweeps, the verdicts and the pages."""

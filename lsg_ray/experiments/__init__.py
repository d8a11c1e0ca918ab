"""Figures of the papers as experiments: a study at three sizes, and claims with verdicts."""

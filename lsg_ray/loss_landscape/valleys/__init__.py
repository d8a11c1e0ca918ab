"""Asymmetric valleys: the loss along directions of consistent signs, and barriers."""

"""Weights of others into stores, and everything out again: one file a format."""

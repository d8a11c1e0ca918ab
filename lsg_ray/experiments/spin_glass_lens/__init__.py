"""Experiments of "Exploring loss landscapes through the lens of spin glass theory"."""

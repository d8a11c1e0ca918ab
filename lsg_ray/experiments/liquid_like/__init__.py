"""Experiments of W. Zou and H. Huang, the liquid-like landscape of deep binary networks."""

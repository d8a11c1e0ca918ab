"""Effective Ising models: what they are, how they are sampled, and how they are fitted."""

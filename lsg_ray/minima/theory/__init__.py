"""Replica theory of random patterns, without any ensemble: entropies, capacities, dense regions.

All quantities are per weight, of N weights and P = αN patterns with independent random labels.
"""

"""Neurons as Ising spins: the weights of a network as couplings between its units.

Source: R. Barney, M. Winer, V. Galitski, "Neural networks as spin models: from glass to hidden
order through training", arXiv:2408.06421.
"""

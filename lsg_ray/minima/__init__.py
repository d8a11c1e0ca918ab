"""Wide flat minima: dense regions of solutions, how to find and measure them, and their theory.

Source: C. Baldassi, F. Pittorino, R. Zecchina, "Shaping the learning landscape in neural networks
around wide flat minima", PNAS 117, 161 (2020), arXiv:1905.07833; C. Baldassi et al., "Unreasonable
effectiveness of learning neural networks", PNAS 113, E7655 (2016), arXiv:1605.06444.
"""

"""Numba kernels: arrays in, arrays out, no allocation per step, no input or output.

Importing a kernel module loads numba; nothing compiles before its first call.
"""

"""Kernels for CUDA, in numba-cuda: written once, run on a GPU or in numba's simulator.

Importing a module of this package loads numba's CUDA target; no GPU is asked for before a launch.
`lsg_ray.kernels.cuda.launch.missing` says whether there is one.
"""

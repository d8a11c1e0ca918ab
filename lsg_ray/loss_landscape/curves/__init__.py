"""Shapes of the loss on lines and planes: types of curves, mined directions, topology of slices."""

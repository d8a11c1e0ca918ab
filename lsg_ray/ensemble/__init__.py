"""The ensemble: a Zarr v3 store of sampled weight configurations, written and read by blocks."""

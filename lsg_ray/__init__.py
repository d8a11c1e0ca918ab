"""lsg-ray: sample neural-network weight configurations and measure the geometry of weight space."""

__version__ = "0.1.0"

"""lsg-ray: sample neural-network weight configurations and measure the geometry of weight space.

    import lsg_ray

    spec = lsg_ray.load_spec("spec.yaml")
    lsg_ray.sample(spec, "ensemble.zarr", workers=2)
    ensemble = lsg_ray.open_ensemble("ensemble.zarr")
    moments = lsg_ray.moments(ensemble.part("LB"))

Names load where they are first used, so that importing the package is quick; `__init__.pyi` lists
them.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

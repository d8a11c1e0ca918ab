"""``xarray.open_dataset(url, engine="lsg")``: a store as a lazy Dataset."""

from __future__ import annotations

import os
from collections.abc import Iterable

import xarray
from xarray.backends import BackendEntrypoint

from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.schema import FORMAT
from lsg_ray.results.opening import attributes_of


class EnsembleBackend(BackendEntrypoint):
    """Opens stores of lsg-ray."""

    description = "Ensembles of lsg-ray"
    open_dataset_parameters = ("filename_or_obj", "drop_variables", "where")

    def open_dataset(  # type: ignore[override]
        self,
        filename_or_obj: str | os.PathLike[str],
        *,
        drop_variables: str | Iterable[str] | None = None,
        where: str | None = None,
    ) -> xarray.Dataset:
        """Return weights and all columns as lazy arrays; see `Ensemble.to_xarray`.

        Parameters
        ----------
        filename_or_obj
            Path or URL of a store.
        drop_variables
            Names of variables to leave out.
        where
            Condition that configurations meet, such as ``accuracy > 0.9``.

        Raises
        ------
        StoreInputError
            There is no store at that path.
        """
        ensemble = open_ensemble(filename_or_obj)
        dataset = (ensemble.where(where) if where else ensemble).to_xarray()
        dropped = [drop_variables] if isinstance(drop_variables, str) else drop_variables
        return dataset.drop_vars(list(dropped or ()), errors="ignore")

    def guess_can_open(self, filename_or_obj: object) -> bool:
        """Return whether this is a store of lsg-ray."""
        if not isinstance(filename_or_obj, (str, os.PathLike)):
            return False
        try:
            return bool(attributes_of(filename_or_obj).get("format") == FORMAT)
        except MemoryError:
            raise
        except Exception:  # some other object, for another engine to open
            return False

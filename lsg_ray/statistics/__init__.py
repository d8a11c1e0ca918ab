"""Statistics of ensembles, out of core: functions from an ensemble to an `xarray.Dataset`."""

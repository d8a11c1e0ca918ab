"""Ensembles of given rows, in memory."""

import itertools

import numpy as np
import pytest

from lsg_ray.ensemble.block import Block
from lsg_ray.ensemble.reader import open_ensemble
from lsg_ray.ensemble.writer import create_ensemble, write_block
from lsg_ray.spec import parse_spec


@pytest.fixture(scope="session")
def ensemble_of():
    """Function that stores rows of ±1 and opens them; accuracy is 0, 0.1, ... 0.9, 0, ..."""
    numbers = itertools.count()

    def store(weights, widths=None, blocks=None, trial=0, url=None, **ensemble):
        count, n_weights = np.shape(weights)
        widths = widths or (n_weights, 1)
        spec = parse_spec(
            {
                "name": "given",
                "dataset": {"components": widths[0], "labels": "parity"},
                "network": {"widths": widths},
                "ensemble": {"count": count, **ensemble},
            }
        )
        url = url or f"memory://statistics-{next(numbers)}"
        plan = create_ensemble(url, spec, dataset_hash="0" * 64)
        for index in range(plan.n_blocks) if blocks is None else blocks:
            rows = np.arange(count)[index * plan.block_size :][: plan.block_size]
            block = Block(
                start=index * plan.block_size,
                weights=np.asarray(weights, np.int8)[rows],
                accuracy=rows % 10 / 10,
                loss=rows / 10,
                test_accuracy=rows % 10 / 10,
                trial=np.broadcast_to(trial, count)[rows],
                epochs=np.ones_like(rows),
                polarization=np.zeros(len(rows)),
                trials=len(rows),
            )
            write_block(url, index, block)
        return open_ensemble(url)

    return store

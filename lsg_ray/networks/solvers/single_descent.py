"""The engine ``numba`` of ReLU networks: each trained alone on one core, a step in its caches.

The same steps as the stacked descent of the engine ``torch`` (`lsg_ray.networks.solvers.descent`),
from the same starts and through the same mini-batches; sums in another order, so that weights
differ by rounding.  The mathematics of a step is in `lsg_ray.kernels.relu`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lsg_ray.errors import InputError
from lsg_ray.networks.first_layer import DenseInputs, Inputs, SparseInputs
from lsg_ray.networks.relu_network import Layer, layers_of, output_scale
from lsg_ray.spec import NetworkSpec, TrainingSpec
from lsg_ray.typing import Floats, Ints

if TYPE_CHECKING:
    from torch import Tensor


def padded_layers(network: NetworkSpec, block_units: int | None) -> Ints:
    """Return where layers are: (layers, 4), start, rows, columns, and the column of their inputs.

    Parameters
    ----------
    network
        Architecture.
    block_units
        Units of the first layer in whole blocks, where it is stored apart; of it only the biases
        are then listed, and its inputs have no column.
    """
    layers, start, place = [], 0, 0
    for number, (inputs, units) in enumerate(itertools.pairwise(network.widths)):
        columns = -(-(inputs + network.biases) // 16) * 16
        if number == 1 and block_units is not None:
            columns = max(columns, block_units)
        layers.append([start, -(-units // 4) * 4, columns, place])
        if number == 0 and block_units is not None:
            width = -(-(units + network.biases) // 16) * 16
            layers[0] = [0, 1, max(width, block_units), 0]
        else:
            place += columns
        start += layers[-1][1] * layers[-1][2]
    return np.array(layers, np.int64)


class SingleDescent:
    """Training state of networks that are trained one by one."""

    def __init__(
        self,
        network: NetworkSpec,
        training: TrainingSpec,
        layers: Sequence[Layer],
        inputs: Inputs,
        times: Sequence[int],
    ) -> None:
        import torch

        if inputs.device != "cpu" or inputs.dtype != torch.float32:
            raise InputError(
                f"examples in {inputs.dtype} on {inputs.device} given; training.engine numba needs "
                "float32 on the cpu; set training.engine to torch"
            )
        self.network, self.training, self.times = network, training, times
        self.steps = 0
        self._first = layers[0].w if isinstance(inputs, SparseInputs) else None
        block_units = None if self._first is None else self._first.shape[1] * self._first.shape[3]
        self._places = padded_layers(network, block_units)
        networks = len(layers[0].w)
        size = int(np.prod(self._places[-1, 1:3]) + self._places[-1, 0])
        self._flat = torch.zeros(networks, size)
        self._flat_moments = torch.zeros(networks, 2, size).numpy()
        first = 0 if self._first is None else self._first[0].numel()
        self._moments = torch.zeros(networks, 2, first).numpy()
        self.layers = [self._adopted(number, layer) for number, layer in enumerate(layers)]

    def _adopted(self, number: int, layer: Layer) -> Layer:
        """Return a layer as a view of the flat weights, which are set to its own."""
        start, rows, columns, _ = self._places[number].tolist()
        units, inputs = self.network.widths[number + 1], self.network.widths[number]
        matrix = self._flat[:, start : start + rows * columns].unflatten(1, (rows, columns))
        if number == 0 and self._first is not None:
            bias = None if layer.b is None else matrix[:, 0, :units].copy_(layer.b)
            return Layer(layer.w, bias)
        bias = None if layer.b is None else matrix[:, :units, inputs].copy_(layer.b)
        return Layer(matrix[:, :units, :inputs].copy_(layer.w), bias)

    def epoch(
        self, inputs: Inputs, y: Tensor, order: Tensor, record: Callable[[int], None]
    ) -> tuple[Floats, Floats]:
        """Go once through the examples; return mean losses and accuracies (networks,)."""
        n, size = len(inputs), self.training.batch(len(inputs))
        n_steps = -(-n // size)
        stops = [time - self.steps for time in self.times if 0 < time - self.steps < n_steps]
        sums, labels = np.zeros((len(order), 2)), y.numpy()
        for begin, end in itertools.pairwise([0, *stops, n_steps]):
            for number, rows in enumerate(order[:, begin * size : end * size].numpy()):
                self._train(number, inputs, labels, np.ascontiguousarray(rows), size, sums[number])
            self.steps += end - begin
            record(self.steps)
        loss, accuracy = sums.T / n
        return loss, accuracy

    def _train(
        self, number: int, inputs: Inputs, y: Ints, order: Ints, size: int, sums: Floats
    ) -> None:
        from lsg_ray.kernels import relu

        about, network = self.training, self.network
        rule = relu.Rule(
            about.optimizer == "adam", about.learning_rate, about.decay_steps or 0,
            about.decay_factor, about.momentum, about.beta1, about.beta2, about.epsilon,
            about.gamma,
        )  # fmt: skip
        common: dict[str, Any] = {
            "y": y, "order": order, "batch": size, "flat": self._flat[number].numpy(),
            "flat_moments": self._flat_moments[number], "layers": self._places,
            "widths": np.array(network.widths, np.int64), "biases": int(network.biases),
            "slope": np.float32(network.leaky_slope), "scale": np.float32(output_scale(network)),
            "step": self.steps, "rule": rule, "sums": sums,
        }  # fmt: skip
        if isinstance(inputs, DenseInputs):
            relu.train_dense(x=inputs.x.numpy(), **common)
        elif isinstance(inputs, SparseInputs) and self._first is not None:
            weights = self._first[number].numpy()
            splits, entries, table = inputs.tiles(weights.shape[2])
            relu.train_sparse(
                splits=splits, entries=entries, table=table,
                weights=weights, moments=self._moments[number].reshape(2, *weights.shape), **common,
            )  # fmt: skip


def warm_up() -> None:
    """Compile, or load from the cache on disk, the kernels of both kinds of examples."""
    import torch

    network = NetworkSpec(family="relu", widths=(2, 2, 2))
    training = TrainingSpec(engine="numba")
    x, y = np.ones((1, 2), np.float32), torch.zeros(1, dtype=torch.int64)
    for inputs in (SparseInputs(x), DenseInputs(x, "cpu", torch.float32)):
        layers = layers_of(network, torch.zeros(1, network.n_weights), inputs)
        descent = SingleDescent(network, training, layers, inputs, ())
        descent.epoch(inputs, y, torch.zeros(1, 1, dtype=torch.int64), lambda _: None)

"""The four data sets of the paper, Sec. 4.1, of which its figures show MNIST.

Results on the others are said to be similar (App. A.4.3), so that an experiment on them has the
claims on trends, and not those on numbers.  At toy size all are the digits of the package.
"""

from __future__ import annotations

from typing import NamedTuple

from lsg_ray.typing import JsonObject


class Data(NamedTuple):
    """A data set: its name in specifications, its title, numbers of inputs and of classes."""

    name: str
    title: str
    inputs: int
    classes: int

    @property
    def is_shown(self) -> bool:
        """Whether the figures of the paper are of it."""
        return self.name == "mnist"

    def named(self, experiment: str) -> str:
        """Return the name of an experiment on it.

        >>> MNIST.named("sg-fig4"), FASHION.named("sg-fig4")
        ('sg-fig4', 'sg-fig4-fashion')
        """
        return experiment if self.is_shown else f"{experiment}-{self.name.removesuffix('-mnist')}"

    def titled(self, title: str) -> str:
        """Return the title of an experiment on it."""
        return title if self.is_shown else f"{title}, {self.title}"

    def network(self, *hidden: int) -> JsonObject:
        """Return the section of ReLU networks with hidden layers of some widths."""
        return {"family": "relu", "widths": [self.inputs, *hidden, self.classes]}


MNIST = Data("mnist", "MNIST", 784, 10)
FASHION = Data("fashion-mnist", "Fashion-MNIST", 784, 10)
CIFAR10 = Data("cifar10", "CIFAR-10", 3072, 10)
CIFAR100 = Data("cifar100", "CIFAR-100", 3072, 100)
#: That of toy sizes.
DIGITS = Data("digits", "digits", 64, 10)

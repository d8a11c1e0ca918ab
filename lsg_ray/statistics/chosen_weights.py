"""Which weights of a network a statistic is of, by words.

A choice is one or several of these, with commas:

    LB, ITR, RB     a part of the network
    layer:1         a layer, counted from 0
    unit:1:7        the weights into unit 7 of layer 1
    100:200         weights 100 to 199 of the network
    random:500      500 of all weights, drawn without replacement by the seed
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from lsg_ray.arrays import as_numbers, brief
from lsg_ray.errors import InputError
from lsg_ray.rng import Stream
from lsg_ray.statistics.configurations import Configurations, stream
from lsg_ray.typing import Flags, Ints

#: What a choice may be, for errors.
FORMS = "a part (LB), layer:1, unit:1:7, START:STOP, random:500, or several with commas"


def choose_weights(
    source: Configurations, choice: str | ArrayLike, seed: int, *, draw: int = 0
) -> Ints:
    """Return the columns of chosen weights, ascending and distinct: (K,).

    Parameters
    ----------
    source
        Configurations; numbers, layers and units are those of its coordinates, so of a view of a
        part, weights are numbered as in the whole network.
    choice
        Text as above, or numbers of weights (K,).
    seed, draw
        Address of what is drawn at random: two choices of one seed differ in ``draw``.

    Raises
    ------
    InputError
        With the word that is not understood, or that chooses nothing, and what is there.
    """
    if isinstance(choice, str):
        chosen = np.zeros(source.n_weights, np.bool_)
        for number, word in enumerate(choice.split(",")):
            chosen |= _of_word(source, word.strip(), seed, (draw, number))
        return np.flatnonzero(chosen)
    given = as_numbers(choice, "weights to choose", None)
    if given.ndim != 1 or given.size == 0 or given.dtype.kind not in "iu":
        raise InputError(f"weights {brief(choice)} to choose; whole numbers (K,), or {FORMS}")
    known = source.coordinates()["weight"][1]
    if len(absent := np.setdiff1d(given, known)):
        raise InputError(f"weight {absent[0]} to choose; {_numbers(source)}")
    return np.flatnonzero(np.isin(known, given))


def _of_word(source: Configurations, word: str, seed: int, address: tuple[int, int]) -> Flags:
    """Return which weights a word chooses: (N,)."""
    known = {name: values for name, (_, values) in source.coordinates().items()}
    kind, _, rest = word.partition(":")
    numbers = [int(text) for text in rest.split(":")] if _is_numeric(rest) else []
    if kind.isdecimal() and len(numbers) == 1:
        chosen = (known["weight"] >= int(kind)) & (known["weight"] < numbers[0])
        there = _numbers(source)
    elif kind == "random" and len(numbers) == 1:
        if not 0 < numbers[0] <= source.n_weights:
            raise InputError(f"{word}: there are {source.n_weights:,} weights to choose from")
        drawn = stream(seed, Stream.WEIGHTS, *address).permutation(source.n_weights)
        chosen = np.isin(np.arange(source.n_weights), drawn[: numbers[0]])
        there = ""
    elif "layer" not in known:
        raise InputError(
            f"{brief(word)}: {source.name} has weights without a network; choose START:STOP or "
            "random:500"
        )
    elif kind in ("layer", "unit") and len(numbers) == (1 if kind == "layer" else 2):
        chosen = known["layer"] == numbers[0]
        there = f"its layers are {_listed(known['layer'])}"
        if kind == "unit":
            there = f"units of layer {numbers[0]} are {_listed(known['unit'][chosen])}"
            chosen = chosen & (known["unit"] == numbers[1])
    elif not rest and word in known["part"]:
        chosen, there = known["part"] == word, ""
    else:
        parts = ", ".join(dict.fromkeys(known["part"].tolist()))
        raise InputError(f"weights {brief(word)} to choose; {FORMS}; the parts are {parts}")
    if not chosen.any():
        raise InputError(f"{word} chooses no weight of {source.name}; {there or FORMS}")
    return np.asarray(chosen, np.bool_)


def _is_numeric(text: str) -> bool:
    # Longer numbers are no weight, and need not be read.
    return all(part.isdecimal() and len(part) < 16 for part in text.split(":"))


def _numbers(source: Configurations) -> str:
    known = source.coordinates()["weight"][1]
    return f"weights are numbered {known[0]:,} to {known[-1]:,}"


def _listed(values: Ints) -> str:
    names = np.unique(values)
    return f"{names[0]} to {names[-1]}" if len(names) else "none"

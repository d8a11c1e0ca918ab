"""Columns that a store lists itself, one number a configuration: those of imported weights.

The columns of a sampled store follow from its specification.  Weights of others come with what
their owners know of them: these columns are listed in the header, as plain JSON, and are read as
untrusted data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lsg_ray.ensemble.schema import LAYER, SNAPSHOT, ArrayLayout
from lsg_ray.errors import InputError, shown
from lsg_ray.typing import JsonObject

#: Types of columns: real numbers, and whole ones of users, which may be negative.
COLUMN_TYPES = ("<f8", "<i8", "<f4", "<i4")
#: Most columns, and most characters of what is said of one.
MAX_COLUMNS, MAX_ABOUT = 1_000, 1_000
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
#: Names that mean something else in stores, queries and conditions.
RESERVED_COLUMNS = frozenset(
    {"configuration", "weights", "packed", "fields", "ledger", "abs", "and", "or", "not", "in",
     "True", "False", "None", "is", "if", "else", "lambda"}
)  # fmt: skip
#: Beginnings of names of other arrays.
PREFIXES = (LAYER, SNAPSHOT, "curve_")


def check_column_name(name: object) -> str:
    """Return the name of a column.

    Raises
    ------
    InputError
        It cannot be one; says why.

    >>> check_column_name("seed_2")
    'seed_2'
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(
            f"column {shown(name)}: names of columns are letters, digits and _, a letter first, "
            "64 at most"
        )
    if name in RESERVED_COLUMNS or name.startswith(PREFIXES):
        raise InputError(f"column {name!r}: the name has a meaning of its own; choose another")
    return name


def declared_column(name: str, dtype: str, description: str) -> ArrayLayout:
    """Return the layout of a column, one number a configuration."""
    return ArrayLayout(name, dtype, attributes={"description": description})


def as_column(layout: ArrayLayout) -> JsonObject:
    """Return a column as it is listed in a header."""
    return {"name": layout.name, "dtype": layout.dtype, **layout.attributes}


def parse_columns(given: object) -> tuple[ArrayLayout, ...]:
    """Return the columns that a header lists.

    Raises
    ------
    ValueError
        They are none; says why.
    """
    if not isinstance(given, list) or len(given) > MAX_COLUMNS:
        raise ValueError(f"columns are {shown(given)}, not a list of at most {MAX_COLUMNS:,}")
    columns = tuple(_parsed(one) for one in given)
    check_distinct(layout.name for layout in columns)
    return columns


def check_distinct(names: Iterable[str]) -> None:
    """Refuse a name that is given twice, also in other case: some disks know no difference."""
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.get(name.lower())) is not None:
            raise InputError(f"column {name!r} given beside {other!r}; rename one")
        seen[name.lower()] = name


def _parsed(one: object) -> ArrayLayout:
    if not isinstance(one, dict) or set(one) != {"name", "dtype", "description"}:
        raise ValueError(f"column {shown(one)} has not name, dtype and description")
    try:
        name = check_column_name(one["name"])
    except InputError as error:
        raise ValueError(str(error)) from None
    dtype, about = one["dtype"], one["description"]
    if dtype not in COLUMN_TYPES:
        raise ValueError(f"column {name}: dtype is {shown(dtype)}")
    if not isinstance(about, str) or len(about) > MAX_ABOUT:
        raise ValueError(f"column {name}: description is {shown(about)}")
    return declared_column(name, dtype, about)

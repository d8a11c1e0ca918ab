"""JSON of strangers: what is nested, or has numbers and text, beyond all use is refused."""

from __future__ import annotations

import json
from typing import Any

from lsg_ray.typing import Data

#: Ours nest seven deep; what walks a document by recursion must not run out of stack.
MAX_JSON_DEPTH = 40
#: Digits of an integer: Python prints no product of two that have thousands.
MAX_INTEGER_DIGITS = 1000


def parse_json(data: Data) -> Any:
    """Return what a JSON document holds.

    Raises
    ------
    ValueError
        It is none, is nested too deeply, or holds an integer of too many digits or half a
        character (a lone surrogate), which no file can hold.
    """
    try:
        document = json.loads(bytes(data), parse_int=_integer)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    stack = [(document, 1)]
    while stack:
        value, depth = stack.pop()
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, (dict, list)):
            if depth > MAX_JSON_DEPTH:
                raise ValueError(f"nested too deeply, over {MAX_JSON_DEPTH} levels")
            inner = value
            if isinstance(value, dict):
                for key in value:
                    _check_text(key)
                inner = list(value.values())
            stack += [(item, depth + 1) for item in inner]
    return document


def _integer(digits: str) -> int:
    if len(digits) > MAX_INTEGER_DIGITS:
        raise ValueError(f"an integer of {len(digits):,} digits")
    return int(digits)


def _check_text(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("text with half a character") from None

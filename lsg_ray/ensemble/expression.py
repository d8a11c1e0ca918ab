"""Conditions on configurations, such as ``accuracy > 0.82 and trial in (0, 1)``.

The text is parsed with `ast` and built into NumPy operations node by node from a short white list;
nothing is ever evaluated as Python, so a condition from a stranger can do no more than compare
numbers.  Length, size and depth are bounded.

Arithmetic is that of NumPy: float32 columns are compared in float32, so ``accuracy == 0.82`` finds
what was stored as 0.82; integers count as float64; 1/0 is inf, 0/0 is nan, and nan fails every
comparison but ``!=``.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any

import numpy as np

from lsg_ray.errors import QueryError, meant
from lsg_ray.typing import Array, Flags


@dataclass(frozen=True)
class ExpressionLimits:
    """What a condition may be at most, so that no text of a stranger costs much to read.

    characters, nodes: size of the text and of its syntax tree; depth: levels of nesting; exponent:
    absolute value of the constant after ``**``.
    """

    characters: int = 2000
    nodes: int = 400
    depth: int = 40
    exponent: int = 16


LIMITS = ExpressionLimits()

Columns = Mapping[str, Any]
Evaluator = Callable[[Columns], Any]

ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.true_divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
COMPARISON: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


class Expression:
    """A checked condition; call it with columns to get a mask. Made by `compile_expression`.

    Attributes
    ----------
    text
        As given.
    names
        Columns that it needs.
    """

    def __init__(self, text: str, names: frozenset[str], evaluate: Evaluator) -> None:
        self.text = text
        self.names = names
        self._evaluate = evaluate

    def __call__(self, columns: Mapping[str, Array]) -> Flags:
        """Return the mask.

        Parameters
        ----------
        columns
            By name, (rows,) each; at least the `names`, and one column in any case.

        Returns
        -------
        (rows,) bool.
        """
        rows = len(next(iter(columns.values())))
        numbers = {name: _as_float(columns[name]) for name in self.names}
        with np.errstate(all="ignore"):
            mask = self._evaluate(numbers)
        return np.array(np.broadcast_to(mask, (rows,)), dtype=np.bool_)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def __reduce__(self) -> tuple[Callable[[str], Expression], tuple[str]]:
        return (compile_expression, (self.text,))


@lru_cache(maxsize=128)
def compile_expression(text: str, columns: tuple[str, ...] | None = None) -> Expression:
    """Check a condition and return it ready for use.

    Parameters
    ----------
    text
        Comparisons (``< <= > >= == !=``, chained, ``in (1, 2)``, ``not in``) of columns, numbers,
        ``+ - * / // % **`` and ``abs()``, joined by ``and``, ``or``, ``not``.
    columns
        Names that there are; None where they were checked before.

    Raises
    ------
    QueryError
        It is anything else; says what and where.

    Examples
    --------
    >>> condition = compile_expression("accuracy > 0.8 and trial in (0, 1)")
    >>> condition({"accuracy": np.array([0.9, 0.9, 0.7]), "trial": np.array([0, 2, 0])})
    array([ True, False, False])
    """
    if not isinstance(text, str) or not text.strip():
        raise QueryError("the condition is empty; write for example: accuracy > 0.82")
    if len(text) > LIMITS.characters:
        raise QueryError(f"the condition has {len(text)} characters; at most {LIMITS.characters}")
    # Line breaks and tabs would be syntax; nothing unprintable reaches a terminal.
    source = "".join(" " if mark.isspace() else mark for mark in text)
    source = "".join(mark if mark.isprintable() else "�" for mark in source)
    body = source.lstrip()
    return _Builder(source, len(source) - len(body), columns).build(body.rstrip(), text)


class _Builder:
    """Turns a parsed condition into nested NumPy calls, or says what is wrong with it."""

    def __init__(self, source: str, indent: int, columns: tuple[str, ...] | None) -> None:
        self.source = source
        self.columns = columns
        self.indent = indent
        self.names: set[str] = set()

    def build(self, body: str, text: str) -> Expression:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(body, mode="eval").body
        except SyntaxError as error:
            column = self.indent + max((error.offset or 1) - 1, 0)
            raise QueryError(self._pointed(error.msg, column, 1)) from None
        except (ValueError, MemoryError, RecursionError):
            raise QueryError("the condition is nested too deeply, or is not text") from None
        if sum(1 for _ in ast.walk(tree)) > LIMITS.nodes:
            raise QueryError(f"the condition has more than {LIMITS.nodes} parts; split it")
        evaluate = self.truth(tree, 0)
        return Expression(text, frozenset(self.names), evaluate)

    def truth(self, node: ast.expr, depth: int) -> Evaluator:
        """Build a node that must be true or false."""
        self._check_depth(node, depth)
        match node:
            case ast.BoolOp(op=op, values=values):
                parts = [self.truth(value, depth + 1) for value in values]
                combine = np.logical_and if isinstance(op, ast.And) else np.logical_or
                return lambda columns: reduce(combine, (part(columns) for part in parts))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self.truth(operand, depth + 1)
                return lambda columns: np.logical_not(inner(columns))
            case ast.Compare():
                return self._comparison(node, depth)
            case ast.BinOp(op=ast.BitAnd() | ast.BitOr()):
                raise self._fault(node, "write 'and' and 'or' instead of '&' and '|'")
            case ast.BinOp() | ast.Name() | ast.Call() | ast.Constant() | ast.UnaryOp():
                self.number(node, depth)
                raise self._fault(node, "this is a number; compare it with something")
        raise self._refusal(node)

    def number(self, node: ast.expr, depth: int) -> Evaluator:
        """Build a node that must be a number."""
        self._check_depth(node, depth)
        match node:
            case ast.Constant():
                constant = self._constant(node)
                return lambda _: constant
            case ast.Name(id=name):
                if self.columns is not None and name not in self.columns:
                    raise self._fault(
                        node,
                        f"unknown name {name!r}; columns are {', '.join(self.columns)}"
                        f"{meant(name, self.columns)}",
                    )
                self.names.add(name)
                return lambda columns: columns[name]
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                inner = self.number(operand, depth + 1)
                return inner if isinstance(sign, ast.UAdd) else lambda columns: -inner(columns)
            case ast.BinOp(op=op, left=left, right=right) if type(op) in ARITHMETIC:
                if isinstance(op, ast.Pow):
                    self._check_exponent(right)
                a, b = self.number(left, depth + 1), self.number(right, depth + 1)
                function = ARITHMETIC[type(op)]
                return lambda columns: _weak(function, a(columns), b(columns))
            case ast.Call(func=ast.Name(id="abs"), args=[argument], keywords=[]):
                inner = self.number(argument, depth + 1)
                return lambda columns: abs(inner(columns))
            case ast.Compare() | ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
                raise self._fault(node, "this is true or false, where a number is needed")
        raise self._refusal(node)

    def _comparison(self, node: ast.Compare, depth: int) -> Evaluator:
        links: list[Evaluator] = []
        left = self.number(node.left, depth + 1)
        for index, (op, right) in enumerate(zip(node.ops, node.comparators, strict=True)):
            if isinstance(op, ast.In | ast.NotIn):
                if index != len(node.ops) - 1:
                    raise self._fault(right, "'in' must end a chain of comparisons")
                links.append(self._membership(left, right, isinstance(op, ast.In)))
                continue
            if type(op) not in COMPARISON:
                raise self._fault(node, "write '==' or '!=' instead of 'is'")
            b = self.number(right, depth + 1)
            links.append(_link(COMPARISON[type(op)], left, b))
            left = b
        return lambda columns: reduce(np.logical_and, (link(columns) for link in links))

    def _membership(self, left: Evaluator, node: ast.expr, inside: bool) -> Evaluator:
        if not isinstance(node, ast.Tuple | ast.List | ast.Set):
            raise self._fault(node, "'in' needs numbers in brackets, such as (0, 1)")
        values = [self._constant(element) for element in node.elts]

        def evaluate(columns: Columns) -> Any:
            value = left(columns)
            matches = reduce(np.logical_or, (np.equal(value, number) for number in values), False)
            return matches if inside else np.logical_not(matches)

        return evaluate

    def _constant(self, node: ast.expr) -> float:
        sign = 1.0
        while isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            sign = -sign if isinstance(node.op, ast.USub) else sign
            node = node.operand
        value = node.value if isinstance(node, ast.Constant) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                return sign * float(value)
            except OverflowError:
                raise self._fault(node, "the number is too large") from None
        raise self._fault(node, "only numbers can stand here")

    def _check_exponent(self, node: ast.expr) -> None:
        if abs(self._constant(node)) > LIMITS.exponent:
            raise self._fault(node, f"exponents go from -{LIMITS.exponent} to {LIMITS.exponent}")

    def _check_depth(self, node: ast.expr, depth: int) -> None:
        if depth > LIMITS.depth:
            raise self._fault(node, f"nested more than {LIMITS.depth} deep")

    def _refusal(self, node: ast.expr) -> QueryError:
        kind = type(node).__name__
        return self._fault(
            node, f"not allowed here ({kind}); compare columns and numbers, or use abs(x)"
        )

    def _fault(self, node: ast.expr, message: str) -> QueryError:
        body = self.source[self.indent :].encode()
        start = len(body[: node.col_offset].decode(errors="ignore"))
        stop = len(body[: node.end_col_offset or 0].decode(errors="ignore"))
        return QueryError(self._pointed(message, self.indent + start, stop - start))

    def _pointed(self, message: str, column: int, width: int) -> str:
        width = max(1, min(width, len(self.source) - column))
        caret = " " * column + "^" * width
        return f"{message} (column {column + 1})\n  {self.source}\n  {caret}"


def _link(compare: Callable[[Any, Any], Any], left: Evaluator, right: Evaluator) -> Evaluator:
    return lambda columns: compare(left(columns), right(columns))


def _weak(function: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """Combine numbers; constants stay Python floats, so that float32 columns stay float32."""
    if isinstance(left, float) and isinstance(right, float):
        return float(function(np.float64(left), np.float64(right)))
    return function(left, right)


def _as_float(column: Array) -> Array:
    values = np.asarray(column)
    return values if values.dtype.kind == "f" else values.astype(np.float64)

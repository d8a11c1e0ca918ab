"""Arrays from outside: one conversion for all public functions, and NumPy's own error handling.

NumPy's ``asarray`` drops the mask of a masked array, reads text as numbers, makes a Dataset an
array of its names, and fails on tensors that require a gradient.  Here each of these is either
converted exactly or refused in one line.
"""

from __future__ import annotations

import functools
import inspect
import numbers
import sys
from collections.abc import Callable, Mapping
from typing import IO, Any, ParamSpec, TypeVar

import numpy as np

from lsg_ray.bounds import check_arguments, signature_of
from lsg_ray.errors import InputError, PlainRepr
from lsg_ray.typing import MAX_NUMBER, Array, Floats, Ints

P = ParamSpec("P")
R = TypeVar("R")

_KINDS = {
    "b": "true and false", "c": "complex numbers", "M": "dates", "m": "durations",
    "O": "Python objects", "S": "text", "T": "text", "U": "text", "V": "records",
}  # fmt: skip
#: Characters of a foreign error that a message shows.
_MAX_ERROR_LENGTH = 200
_brief = PlainRepr()


def as_numbers(given: object, name: str, dtype: type | None = np.float64) -> Array:
    """Return real numbers from whatever holds them.

    Parameters
    ----------
    given
        NumPy, Dask or xarray array, nested lists, pandas objects, SciPy sparse matrices (which
        become dense), or torch tensors (of any device or type, also with a gradient).
    name
        Name of the argument, for messages.
    dtype
        Type of the result; None for that of the input.

    Returns
    -------
    numpy.ndarray
        The input itself if it has that type.

    Raises
    ------
    InputError
        Masked or missing entries, complex numbers, text, truth values, dates, other objects; rows
        of different lengths.

    Examples
    --------
    >>> as_numbers([[1, -1]], "sigma").tolist()
    [[1.0, -1.0]]
    >>> as_numbers(np.ma.array([1, 2], mask=[False, True]), "h")
    Traceback (most recent call last):
    lsg_ray.errors.InputError: h: entry [1] is masked; fill it or leave its row out
    """
    try:
        array = np.asarray(_plain(given, name))
        if array.dtype.kind == "O":
            array = _of_objects(array, name)
        elif array.dtype.kind == "V" and array.dtype.type.__module__.startswith("ml_dtypes"):
            array = array.astype(np.float64)
    except (InputError, MemoryError):
        raise
    except RecursionError:
        raise InputError(f"{name}: lists that contain themselves given") from None
    except Exception as error:  # foreign arrays may fail in any way
        reason = " ".join(str(error).split())[:_MAX_ERROR_LENGTH] or type(error).__name__
        if "inhomogeneous" in reason:
            reason = "rows of different lengths"
        raise InputError(
            f"{name}: no array of numbers given, but {type(given).__name__} ({reason}); pass a "
            "NumPy array"
        ) from None
    if array.dtype.kind not in "iuf":
        kind = _KINDS.get(array.dtype.kind, str(array.dtype))
        raise InputError(f"{name}: {kind} ({array.dtype}) given; real numbers are needed")
    if dtype is None:
        return array
    with np.errstate(all="ignore"):  # what does not fit becomes infinite, which callers look for
        return array.astype(dtype, order="C", copy=False)


def as_integers(given: object, name: str, axes: int = 1) -> Ints:
    """Return whole numbers, as `as_numbers` does, from an array with that number of axes.

    >>> as_integers(range(3), "configurations").tolist()
    [0, 1, 2]
    """
    array = as_numbers(sorted(given) if isinstance(given, (set, range)) else given, name, None)
    if array.ndim != axes or (array.size and array.dtype.kind not in "iu"):
        raise InputError(
            f"{name}: {array.dtype} of shape {array.shape} given; integers along "
            f"{'one axis' if axes == 1 else f'{axes} axes'} are needed"
        )
    return array.astype(np.int64)


def in_range(
    given: object, name: str, low: float = 0.0, high: float = np.inf, least: bool = False
) -> Floats:
    """Return one or several numbers above ``low``, or from it if ``least``, and below ``high``.

    None is beyond `MAX_NUMBER`, or there twice: results are found by them.

    >>> in_range([0.1, 0.5], "flips", high=1).tolist()
    [0.1, 0.5]
    """
    values = np.atleast_1d(as_numbers(given, name))
    above = values >= low if least else values > low
    if values.ndim != 1 or not values.size or not (above & (values < high)).all():
        bound = "" if np.isinf(high) else f" and below {high:g}"
        raise InputError(
            f"{name} {brief(given)} given; numbers {'from' if least else 'above'} {low:g}{bound} "
            "are needed"
        )
    if values.max() > MAX_NUMBER:
        raise InputError(f"{name} {brief(given)} given; at most {MAX_NUMBER:g}")
    if len(values) > len(np.unique(values)):
        raise InputError(f"{name} {brief(given)} given; numbers are needed, each once")
    return values


def npy_header(
    file: IO[bytes], max_bytes: int = 10_000
) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    """Read the header of an ``.npy``: shape, whether in Fortran order, and data type.

    Raises
    ------
    ValueError
        It is none, is longer than `max_bytes`, or is of a version that plain numbers do not need.
    """
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file, max_header_size=max_bytes)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file, max_header_size=max_bytes)
    raise ValueError(f"is an .npy of version {version[0]}.{version[1]}")


def brief(given: object) -> str:
    """Return an array as text of one line, cut short where it is long.

    >>> brief(np.arange(100.0))
    '[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, ...]'
    """
    try:
        shown = _brief.repr(given.tolist() if isinstance(given, np.ndarray) else given)
    except ValueError:  # an integer of more digits than Python prints
        shown = f"a {type(given).__name__} of thousands of digits"
    return " ".join(shown.split())[:_MAX_ERROR_LENGTH]


def read_only(array: Array, dtype: type) -> Array:
    """Return a contiguous view that cannot be written.

    Arrays out of Ray's object store are read-only, which numba counts as a type of its own: with
    all examples read-only, kernels are compiled once.
    """
    view: Array = np.ascontiguousarray(array, dtype).view()
    view.flags.writeable = False
    return view


def unmasked(given: object, name: str) -> object:
    """Return an array as it is; a mask that hides nothing is taken off.

    Raises
    ------
    InputError
        It hides an entry.
    """
    if not isinstance(given, np.ma.MaskedArray):
        return given
    hidden = np.argwhere(np.ma.getmaskarray(given))
    if len(hidden):
        raise InputError(
            f"{name}: entry {hidden[0].tolist()} is masked; fill it or leave its row out"
        )
    return given.data


def public(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function be called from anywhere, and its result be written anywhere.

    It runs with NumPy's default error handling, whatever ``numpy.seterr`` was set to: errors on
    underflow, which is harmless here, would be exceptions.  Bounds and
    choices in the types of its arguments are checked; attributes of a Dataset that it returns are
    `plain_attributes`.  A group of options that it shares with others has its defaults; see
    `lsg_ray.typing.Tasks`.
    """
    signature, own = signature_of(function), inspect.signature(function).parameters
    shared: dict[str, Any] = {n: p.default for n, p in signature.parameters.items() if n not in own}

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        check_arguments(function, args, kwargs)
        if shared:
            signature.bind(*args, **kwargs)  # refuses what belongs to no group
            kwargs.update(shared | kwargs)
        with np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"):
            result = function(*args, **kwargs)
        if type(result).__module__.startswith("xarray.") and isinstance(
            attributes := getattr(result, "attrs", None), dict
        ):
            attributes.update(plain_attributes(attributes))
        return result

    if shared:
        run.__signature__ = signature_of(function, as_text=True)  # type: ignore[attr-defined]  # what `inspect` looks for
    return run


def plain_attributes(attributes: Mapping[str, object]) -> dict[str, object]:
    """Return attributes that netCDF can hold: integers of more than 64 bits as decimal text.

    >>> plain_attributes({"seed": 2**100, "draws": 5})
    {'seed': '1267650600228229401496703205376', 'draws': 5}
    """
    return {
        name: str(value) if isinstance(value, int) and not -(2**63) <= value < 2**63 else value
        for name, value in attributes.items()
    }


def _plain(given: Any, name: str) -> Any:
    """Return a NumPy array, or nested lists, of what foreign arrays hold."""
    if isinstance(given, np.ndarray):
        return unmasked(given, name)
    if isinstance(given, (list, tuple)):
        if all(type(item) in (int, float) for item in given):
            return given
        return [_plain(item, name) for item in given]
    if isinstance(given, Mapping):
        keys = ", ".join(map(str, list(given)[:5]))
        raise InputError(f"{name}: {type(given).__name__} of {keys} given; pass one array of it")
    if (torch := sys.modules.get("torch")) is not None and isinstance(given, torch.Tensor):
        return _of_tensor(given, name)
    if hasattr(given, "dask") and hasattr(given, "compute"):
        return _plain(given.compute(), name)
    if hasattr(given, "toarray"):  # SciPy's sparse matrices
        return _plain(given.toarray(), name)
    module = type(given).__module__.partition(".")[0]
    if module == "xarray" and hasattr(given, "data"):
        return _plain(given.data, name)
    if module in ("pandas", "polars") and hasattr(given, "to_numpy"):
        return _plain(given.to_numpy(), name)
    return given


def _of_tensor(tensor: Any, name: str) -> Array:
    """Return the numbers of a torch tensor."""
    if tensor.is_complex():
        raise InputError(f"{name}: complex numbers ({tensor.dtype}) given; real ones are needed")
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.is_sparse or tensor.layout != sys.modules["torch"].strided:
        tensor = tensor.to_dense()
    tensor = tensor.detach().cpu().resolve_neg()
    try:
        array: Array = tensor.numpy()
    except TypeError:  # bfloat16, float8: float32 holds each of them exactly
        array = tensor.float().numpy()
    return array


def _of_objects(given: Array, name: str) -> Floats:
    """Return Python's numbers as float64."""
    for index, item in np.ndenumerate(given):
        if isinstance(item, bool) or not isinstance(item, numbers.Real):
            where = f" at {list(index)}" if index else ""
            raise InputError(
                f"{name}: {type(item).__name__}{where} given; an array of real numbers is needed"
            )
    return given.astype(np.float64)

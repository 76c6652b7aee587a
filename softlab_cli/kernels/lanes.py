"""A row of voxels as one value: `LANES` numbers of float32, each step done to all of them.

The compiler makes vectors of a loop only as far as it can prove that arrays do not overlap, and
tests for it each time; a value of this type is in vector registers from the start. In a kernel
it has ``+``, ``-``, ``*``, ``/`` and ``abs``, each with a value of the same type; each rounds as
it does for one number, and NaN fails every comparison.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from softlab_cli.kernels.sizes import LANES

__all__ = [
    "Lanes",
    "after",
    "ask_for",
    "before",
    "below_only",
    "fallen",
    "gather",
    "lane",
    "load",
    "nearer",
    "offer_keys",
    "root",
    "smaller",
    "spread",
    "store",
]

Lanes = Any
"""Type of such a value, for whoever reads a kernel."""

Builder = Any
"""LLVM's, which writes what a function becomes."""

Values = tuple[Any, ...]

_FLOAT, _INT, _PLACE = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR, _BITS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT, LANES)
_KEYS = ir.VectorType(_INT, 4)
_BYTES = 4

INFINITY = 0x7F800000
"""Bits of float32's infinity."""


class _LanesType(types.Type):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(name=f"float32 x {LANES}")


_lanes = _LanesType()


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _VECTOR)


def _inserted(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose steps are written where a kernel calls it, with that call's arguments."""
    return cast(Callable[..., Any], intrinsic(function))


# ---- operators -------------------------------------------------------------------------------


def _operator(function: Any, count: int, make: Callable[[Builder, Values], Any]) -> None:
    """Teach numba what a function of Python does with values of this type."""
    operands = (_lanes,) * count

    class Template(AbstractTemplate):  # type: ignore[misc]
        key = function

        def generic(self, args: Any, kws: Any) -> Any:
            return signature(_lanes, *operands) if tuple(args) == operands else None

    infer_global(function)(Template)
    lower_builtin(function, *operands)(lambda context, builder, sig, args: make(builder, args))


_operator(operator.add, 2, lambda builder, args: builder.fadd(*args))
_operator(operator.sub, 2, lambda builder, args: builder.fsub(*args))
_operator(operator.mul, 2, lambda builder, args: builder.fmul(*args))
_operator(operator.truediv, 2, lambda builder, args: builder.fdiv(*args))
_operator(abs, 1, lambda builder, args: _built_in(builder, f"llvm.fabs.v{LANES}f32", args[0]))


def _built_in(builder: Builder, name: str, value: Any, result: Any = _VECTOR) -> Any:
    """Call one of LLVM's own functions."""
    kind = ir.FunctionType(result, [value.type])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [value])


# ---- memory ----------------------------------------------------------------------------------


def _pointer(context: Any, builder: Builder, sig: Any, args: Values, type_: Any) -> Any:
    """Where the number at ``args[1]`` of the flattened array ``args[0]`` is."""
    data = context.make_array(sig.args[0])(context, builder, args[0]).data
    place = builder.gep(data, [context.cast(builder, args[1], sig.args[1], types.intp)])
    return builder.bitcast(place, type_.as_pointer())


@_inserted
def load(typing: Any, array: Any, place: Any) -> Any:
    """Numbers of an array from a place on; of a C-contiguous one, as if it were flat."""

    def build(context: Any, builder: Builder, sig: Any, args: Values) -> Any:
        return builder.load(_pointer(context, builder, sig, args, _VECTOR), align=_BYTES)

    return _lanes(array, place), build


@_inserted
def store(typing: Any, array: Any, place: Any, value: Any) -> Any:
    """Write the numbers from a place on."""

    def build(context: Any, builder: Builder, sig: Any, args: Values) -> Any:
        pointer = _pointer(context, builder, sig, args, _VECTOR)
        builder.store(args[2], pointer, align=_BYTES)
        return context.get_dummy_value()

    return types.void(array, place, _lanes), build


@_inserted
def gather(typing: Any, array: Any, place: Any) -> Any:
    """Numbers that are `LANES` apart: those at one end of neighbouring rows."""

    def build(context: Any, builder: Builder, sig: Any, args: Values) -> Any:
        first = _pointer(context, builder, sig, args, _FLOAT)
        value = ir.Constant(_VECTOR, ir.Undefined)
        for x in range(LANES):
            number = builder.load(builder.gep(first, [_PLACE(x * LANES)]))
            value = builder.insert_element(value, number, _INT(x))
        return value

    return _lanes(array, place), build


@_inserted
def ask_for(typing: Any, array: Any, place: Any) -> Any:
    """Have the line of memory at a place brought into the cache, and go on meanwhile."""

    def build(context: Any, builder: Builder, sig: Any, args: Values) -> Any:
        pointer = _pointer(context, builder, sig, args, ir.IntType(8))
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, _INT, _INT, _INT])
        ask = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(ask, [pointer, _INT(0), _INT(2), _INT(1)])  # to read, is used soon, data
        return context.get_dummy_value()

    return types.void(array, place), build


# ---- values ----------------------------------------------------------------------------------


@_inserted
def spread(typing: Any, number: Any) -> Any:
    """The same number in all lanes."""

    def build(context: Any, builder: Builder, sig: Any, args: Values) -> Any:
        number = context.cast(builder, args[0], sig.args[0], types.float32)
        return _repeated(builder, number, _VECTOR)

    return _lanes(number), build


@_inserted
def root(typing: Any, value: Any) -> Any:
    """Square roots, correctly rounded."""

    def build(context: Any, builder: Builder, sig: Any, args: Values) -> Any:
        return _built_in(builder, f"llvm.sqrt.v{LANES}f32", args[0])

    return _lanes(_lanes), build


@_inserted
def nearer(typing: Any, a: Any, b: Any) -> Any:
    """``a if a < b else b``: where a is NaN, from a wall, it is b."""

    def build(context: Any, builder: Builder, sig: Any, args: Values) -> Any:
        return _nearer(builder, *args)

    return _lanes(_lanes, _lanes), build


def _nearer(builder: Builder, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


@_inserted
def before(typing: Any, value: Any) -> Any:
    """What the lane before has; infinity in the first."""

    def build(context: Any, builder: Builder, sig: Any, args: Values) -> Any:
        lanes = [LANES, *range(LANES - 1)]
        return builder.shuffle_vector(args[0], _infinite(), ir.Constant(_BITS, lanes))

    return _lanes(_lanes), build


@_inserted
def after(typing: Any, value: Any) -> Any:
    """What the next lane has; infinity in the last."""

    def build(context: Any, builder: Builder, sig: Any, args: Values) -> Any:
        lanes = range(1, LANES + 1)
        return builder.shuffle_vector(args[0], _infinite(), ir.Constant(_BITS, list(lanes)))

    return _lanes(_lanes), build


def _infinite() -> Any:
    return ir.Constant(_VECTOR, [float("inf")] * LANES)


@_inserted
def lane(typing: Any, value: Any, x: Any) -> Any:
    """One of the numbers."""

    def build(context: Any, builder: Builder, sig: Any, args: Values) -> Any:
        return builder.extract_element(args[0], args[1])

    return types.float32(_lanes, x), build


# ---- comparisons -----------------------------------------------------------------------------


@_inserted
def below_only(typing: Any, new: Any, old: Any) -> Any:
    """The new numbers that are below the old, infinity in the other lanes."""

    def build(context: Any, builder: Builder, sig: Any, args: Values) -> Any:
        return builder.select(builder.fcmp_ordered("<", *args), args[0], _infinite())

    return _lanes(_lanes, _lanes), build


@_inserted
def fallen(typing: Any, new: Any, old: Any) -> Any:
    """A bit for each lane, the first lane's lowest: whether the new number is below the old."""

    def build(context: Any, builder: Builder, sig: Any, args: Values) -> Any:
        is_below = builder.fcmp_ordered("<", *args)
        return builder.zext(builder.bitcast(is_below, ir.IntType(LANES)), _PLACE)

    return types.uint64(_lanes, _lanes), build


# ---- keys ------------------------------------------------------------------------------------


@_inserted
def smaller(typing: Any, keys: Any, place: Any, end: Any) -> Any:
    """A bit for each of `LANES` int32 from a place on, as `fallen`: whether it is below `end`."""

    def build(context: Any, builder: Builder, sig: Any, args: Values) -> Any:
        value = builder.load(_pointer(context, builder, sig, args, _BITS), align=_BYTES)
        is_below = builder.icmp_signed("<", value, _repeated(builder, args[2], _BITS))
        return builder.zext(builder.bitcast(is_below, ir.IntType(LANES)), _PLACE)

    return types.uint64(keys, place, end), build


@_inserted
def offer_keys(typing: Any, keys: Any, place: Any, new: Any, old: Any, end: Any) -> Any:
    """Lower three int32 in a row to the bits of the least number that is new.

    Parameters
    ----------
    keys, place
        The first of the three; the one after them is read as well, and stays as it is.
    new, old
        Three values of this type each; a number is new where it is below the old one.
    end
        int32, at most the bits of infinity.

    Returns
    -------
    int
        A bit for each of the three, the first one's lowest: whether it has got smaller, and
        is below `end`.
    """

    def build(context: Any, builder: Builder, sig: Any, args: Values) -> Any:
        news = cgutils.unpack_tuple(builder, args[2], 3)
        olds = cgutils.unpack_tuple(builder, args[3], 3)
        leasts = _least_of_each(builder, news, olds)
        pointer = _pointer(context, builder, sig, args, _KEYS)
        known = builder.load(pointer, align=_BYTES)
        builder.store(_smaller(builder, leasts, known), pointer, align=_BYTES)
        bound = _smaller(builder, known, _repeated(builder, args[4], _KEYS))
        is_below = builder.icmp_signed("<", leasts, bound)
        return builder.zext(builder.bitcast(is_below, ir.IntType(4)), _PLACE)

    return types.uint64(keys, place, new, old, end), build


def _least_of_each(builder: Builder, news: list[Any], olds: list[Any]) -> Any:
    """Bits of the least of each three that are below the old; infinity's in the fourth place.

    Three are reckoned side by side: one after another, they take twice as many instructions.
    """
    parts = [_least_quarter(builder, *pair) for pair in zip(news, olds, strict=True)]
    parts.append(ir.Constant(_KEYS, [INFINITY] * 4))
    low, high = (_halved(builder, *parts[i : i + 2]) for i in (0, 2))
    return _smaller(
        builder,
        _picked(builder, low, high, [0, 1, 4, 5]),
        _picked(builder, low, high, [2, 3, 6, 7]),
    )


def _least_quarter(builder: Builder, new: Any, old: Any) -> Any:
    """Four whole numbers, the least of which is that of all."""
    none = ir.Constant(_BITS, [INFINITY] * LANES)
    is_below = builder.fcmp_ordered("<", new, old)
    bits = builder.select(is_below, builder.bitcast(new, _BITS), none)
    width = LANES
    while width > 4:
        width //= 2
        halves = [list(range(width)), list(range(width, 2 * width))]
        bits = _smaller(builder, *(_picked(builder, bits, bits, half) for half in halves))
    return bits


def _halved(builder: Builder, a: Any, b: Any) -> Any:
    """Two numbers left of the four of a, and of those of b, in turns."""
    first, last = [0, 4, 1, 5], [2, 6, 3, 7]
    return _smaller(builder, _picked(builder, a, b, first), _picked(builder, a, b, last))


def _smaller(builder: Builder, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def _picked(builder: Builder, a: Any, b: Any, lanes: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INT, len(lanes)), lanes))


def _repeated(builder: Builder, number: Any, kind: Any) -> Any:
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), number, _INT(0))
    return builder.shuffle_vector(
        first, first, ir.Constant(ir.VectorType(_INT, kind.count), [0] * kind.count)
    )

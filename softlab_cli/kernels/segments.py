"""A segment of a row as one value: `SEGMENT` labels, or small counts, in vector registers.

Each step is done to all of them, and a comparison comes back as a word with a bit for each
place, the first one lowest: whoever wants the few voxels where something is so walks over the
bits, and tests nothing voxel by voxel. See `softlab_cli.kernels.lanes` for the same of float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from softlab_cli.kernels.sizes import SEGMENT

__all__ = [
    "Numbers",
    "above",
    "add_where",
    "added",
    "bit_count",
    "copy",
    "equal",
    "first_bit",
    "greater",
    "last_bit",
    "lesser",
    "load",
    "none",
    "other_than",
    "store",
]

Numbers = Any
"""Type of such a value, for whoever reads a kernel."""

Builder = Any
"""LLVM's, which writes what a function becomes."""

_WORD, _INDEX = ir.IntType(SEGMENT), ir.IntType(32)


class _NumbersType(types.Type):  # type: ignore[misc]
    def __init__(self, bits: int) -> None:
        super().__init__(name=f"uint{bits} x {SEGMENT}")
        self.bits = bits


def _vector(bits: int) -> Any:
    return ir.VectorType(ir.IntType(bits), SEGMENT)


@register_model(_NumbersType)
class _NumbersModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _vector(fe_type.bits))


_counts = _NumbersType(8)


def _inserted(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose steps are written where a kernel calls it, with that call's arguments."""
    return cast(Callable[..., Any], intrinsic(function))


# ---- memory ----------------------------------------------------------------------------------


def _bits_of(array: Any) -> int:
    return int(array.dtype.bitwidth)


def _address(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
    """Where the number at ``args[1]`` of the array ``args[0]`` is."""
    data = context.make_array(sig.args[0])(context, builder, args[0]).data
    return builder.gep(data, [context.cast(builder, args[1], sig.args[1], types.intp)])


def _pointer(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
    """The same of all numbers from there on."""
    vector = _vector(_bits_of(sig.args[0])).as_pointer()
    return builder.bitcast(_address(context, builder, sig, args), vector)


@_inserted
def load(typing: Any, array: Any, place: Any) -> Any:
    """Numbers of a C-contiguous array from a place on, as if it were flat."""

    def build(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        return builder.load(_pointer(context, builder, sig, args), align=_bits_of(array) // 8)

    return _NumbersType(_bits_of(array))(array, place), build


@_inserted
def store(typing: Any, array: Any, place: Any, value: Any) -> Any:
    """Write the numbers from a place on."""

    def build(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, sig, args)
        builder.store(args[2], pointer, align=_bits_of(array) // 8)
        return context.get_dummy_value()

    return types.void(array, place, value), build


@_inserted
def copy(typing: Any, target: Any, at: Any, source: Any, place: Any, count: Any) -> Any:
    """Copy numbers from a place of one row to a place of another.

    Their types have one size, both rows lie in memory without steps, and share none of it.
    """

    def build(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        to = _address(context, builder, sig, args)
        rest = sig.replace(args=sig.args[2:])
        number = context.cast(builder, args[4], sig.args[4], types.intp)
        source = _address(context, builder, rest, args[2:])
        cgutils.raw_memcpy(builder, to, source, number, _bits_of(target) // 8)
        return context.get_dummy_value()

    return types.void(target, at, source, place, count), build


# ---- numbers ---------------------------------------------------------------------------------


@_inserted
def none(typing: Any) -> Any:
    """Counts that are all 0."""
    return _counts(), lambda context, builder, sig, args: ir.Constant(_vector(8), None)


@_inserted
def added(typing: Any, a: Any, b: Any) -> Any:
    """Sums of numbers."""
    return a(a, b), lambda context, builder, sig, args: builder.add(*args)


@_inserted
def lesser(typing: Any, a: Any, b: Any) -> Any:
    """The lesser of two numbers."""

    def build(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        return builder.select(builder.icmp_unsigned("<", *args), *args)

    return a(a, b), build


@_inserted
def greater(typing: Any, a: Any, b: Any) -> Any:
    """The greater of two numbers."""

    def build(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        return builder.select(builder.icmp_unsigned(">", *args), *args)

    return a(a, b), build


@_inserted
def other_than(typing: Any, own: Any, first: Any, second: Any) -> Any:
    """The first number where that is not the own one, else the second."""

    def build(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        same = builder.icmp_unsigned("==", args[0], args[1])
        return builder.select(same, args[2], args[1])

    return own(own, first, second), build


@_inserted
def add_where(typing: Any, counts: Any, array: Any, place: Any, numbers: Any, unit: Any) -> Any:
    """Counts, and a unit more where the array from a place on has these numbers."""

    def build(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, sig.replace(args=sig.args[1:]), args[1:])
        there = builder.load(pointer, align=_bits_of(array) // 8)
        same = builder.icmp_unsigned("==", there, args[3])
        units = _spread(context, builder, args[4], sig.args[4], 8)
        more = builder.select(same, units, ir.Constant(_vector(8), None))
        return builder.add(args[0], more)

    return counts(counts, array, place, numbers, unit), build


def _spread(context: Any, builder: Builder, number: Any, type_: Any, bits: int) -> Any:
    """The same number in all places."""
    number = context.cast(builder, number, type_, getattr(types, f"uint{bits}"))
    first = builder.insert_element(ir.Constant(_vector(bits), ir.Undefined), number, _INDEX(0))
    everywhere = ir.Constant(ir.VectorType(_INDEX, SEGMENT), [0] * SEGMENT)
    return builder.shuffle_vector(first, first, everywhere)


# ---- comparisons -----------------------------------------------------------------------------


@_inserted
def equal(typing: Any, numbers: Any, number: Any) -> Any:
    """A bit for each place: whether it has this number."""
    return _compared("==", numbers, number)


@_inserted
def above(typing: Any, numbers: Any, number: Any) -> Any:
    """A bit for each place: whether it has more than this number."""
    return _compared(">", numbers, number)


def _compared(sign: str, numbers: Any, number: Any) -> Any:
    def build(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        other = _spread(context, builder, args[1], sig.args[1], numbers.bits)
        return builder.bitcast(builder.icmp_unsigned(sign, args[0], other), _WORD)

    return types.uint64(numbers, number), build


@_inserted
def bit_count(typing: Any, word: Any) -> Any:
    """How many bits are set."""

    def build(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), build


@_inserted
def first_bit(typing: Any, word: Any) -> Any:
    """Place of the lowest bit that is set; `SEGMENT` where none is."""

    def build(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), build


@_inserted
def last_bit(typing: Any, word: Any) -> Any:
    """Place of the highest bit that is set; -1 where none is."""

    def build(context: Any, builder: Builder, sig: Any, args: Any) -> Any:
        zeros = builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0))
        return builder.sub(_WORD(SEGMENT - 1), zeros)

    return types.int64(types.uint64), build

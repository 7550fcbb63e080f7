"""A SIMD vector type for numba: W doubles that add, multiply and divide as one number.

numba vectorises loops only when LLVM can prove that arrays don't overlap, which it rarely can. These
intrinsics give LLVM the vectors directly. They lean on numba's extension interface and nothing else; the plain
kernels (`kernels`, `kernels_tangent`) need none of it and stay as fallback and reference.
"""

from __future__ import annotations

import operator
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model

from mmtp_fw.potential.jit import jit


def _width() -> int:
    features = llvmlite.binding.get_host_cpu_features()
    return 8 if features.get("avx512f") else 4


# Number of lanes: what one register of this machine holds, at least four.
W = _width()
# What LLVM may do with sums of vectors: reassociate and contract them.
ARITHMETIC = ("reassoc", "contract", "nsz", "arcp")
LLVM_LANES = ir.VectorType(ir.DoubleType(), W)


class Lanes(types.Type):
    """The numba type of a vector of W doubles."""

    def __init__(self) -> None:
        super().__init__(name=f"Lanes{W}")


lanes = Lanes()


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, LLVM_LANES)


def broadcast(builder: Any, scalar: Any) -> Any:
    """Emit a vector with a number in every lane."""
    undefined = ir.Constant(LLVM_LANES, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), W), [0] * W)
    return builder.shuffle_vector(first, undefined, mask)


def _binary(symbol: Any, method: str) -> None:
    """Teach numba an operator on vectors, and on a vector and a scalar."""

    @infer_global(symbol)
    class _Template(ConcreteTemplate):
        cases = [  # noqa: RUF012
            signature(lanes, lanes, lanes),
            signature(lanes, lanes, types.float64),
            signature(lanes, types.float64, lanes),
        ]

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        values = [
            value if kind == lanes else broadcast(builder, value) for value, kind in zip(args, sig.args, strict=True)
        ]
        return getattr(builder, method)(*values, flags=ARITHMETIC)

    for left, right in ((Lanes, Lanes), (Lanes, types.Float), (types.Float, Lanes)):
        lower_builtin(symbol, left, right)(lower)


_binary(operator.add, "fadd")
_binary(operator.sub, "fsub")
_binary(operator.mul, "fmul")
_binary(operator.truediv, "fdiv")
_binary(operator.iadd, "fadd")
_binary(operator.isub, "fsub")
_binary(operator.imul, "fmul")


doubles = types.CPointer(types.float64)
integers = types.CPointer(types.int64)


def _vector_at(context: Any, builder: Any, pointer: Any, index: Any) -> Any:
    return builder.bitcast(builder.gep(pointer, [index]), LLVM_LANES.as_pointer())


@intrinsic
def pointer(typingctx: Any, array: Any) -> Any:
    """Return the address of a contiguous array's first element; the array must outlive it, see `outlive`.

    Numbers behind pointers cost no reference counting, which arrays in inner loops do.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.make_array(sig.args[0])(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), codegen


@jit
def outlive(*arrays):
    """Keep arrays until here: numba frees an array after its last use, and does not see those by way of a pointer.

    To be called, after the last use of `pointer`'s results, with all arrays that were made in the same function.
    """
    return len(arrays)


@intrinsic
def at(typingctx: Any, base: Any, offset: Any) -> Any:
    """Return a pointer moved by a number of elements."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.gep(args[0], [args[1]])

    return base(base, types.intp), codegen


@intrinsic
def address(typingctx: Any, base: Any) -> Any:
    """Return a pointer as a number."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.ptrtoint(args[0], context.get_value_type(types.intp))

    return types.intp(base), codegen


def _from_number(kind: types.CPointer) -> Any:
    @intrinsic
    def convert(typingctx: Any, number: Any) -> Any:
        """Take a number for an address."""

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(kind))

        return kind(types.intp), codegen

    return convert


as_doubles = _from_number(doubles)
as_integers = _from_number(integers)
int32_pointer = _from_number(types.CPointer(types.int32))


@intrinsic
def load(typingctx: Any, base: Any, index: Any) -> Any:
    """Return the vector base[index : index + W] behind a pointer to doubles."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(_vector_at(context, builder, *args), align=8)

    return lanes(doubles, types.intp), codegen


@intrinsic
def store(typingctx: Any, base: Any, index: Any, value: Any) -> Any:
    """Write a vector to base[index : index + W]."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[2], _vector_at(context, builder, *args[:2]), align=8)
        return context.get_dummy_value()

    return types.void(doubles, types.intp, lanes), codegen


@intrinsic
def spread(typingctx: Any, value: Any) -> Any:
    """Return a vector with `value` in every lane."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return broadcast(builder, args[0])

    return lanes(types.float64), codegen


@intrinsic
def square_root(typingctx: Any, value: Any) -> Any:
    """Return the square roots."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(LLVM_LANES, [LLVM_LANES])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.sqrt.v{W}f64")
        return builder.call(function, args)

    return lanes(lanes), codegen


@intrinsic
def total(typingctx: Any, value: Any) -> Any:
    """Return the sum over the lanes, halves first."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value, width = args[0], W
        while width > 1:
            width //= 2
            kind = ir.VectorType(ir.IntType(32), width)
            low = builder.shuffle_vector(value, value, ir.Constant(kind, list(range(width))))
            high = builder.shuffle_vector(value, value, ir.Constant(kind, list(range(width, 2 * width))))
            value = builder.fadd(low, high, flags=ARITHMETIC)
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return types.float64(lanes), codegen


@intrinsic
def totals(typingctx: Any, base: Any, index: Any, stride: Any) -> Any:
    """Return, in lane l, the sum over the lanes of the vector at base[index + l·stride].

    A transposition by halves that adds on the way: 3(W − 1) operations instead of W sums.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        base, index, stride = args
        rows = []
        for lane in range(W):
            offset = builder.add(index, builder.mul(stride, ir.Constant(stride.type, lane)))
            rows.append(builder.load(_vector_at(context, builder, base, offset), align=8))
        # Each round halves the rows: lanes whose bit `distance` is 0 keep sums of the first of a pair.
        distance = 1
        while len(rows) > 1:
            half = len(rows) // 2
            kind = ir.VectorType(ir.IntType(32), W)
            keep, move = [], []
            for lane in range(W):
                odd = (lane // distance) % 2
                keep.append(lane + W if odd else lane)
                other = lane ^ distance
                move.append(other + W if odd else other)
            rows = [
                builder.fadd(
                    builder.shuffle_vector(rows[2 * k], rows[2 * k + 1], ir.Constant(kind, keep)),
                    builder.shuffle_vector(rows[2 * k], rows[2 * k + 1], ir.Constant(kind, move)),
                    flags=ARITHMETIC,
                )
                for k in range(half)
            ]
            distance *= 2
        return rows[0]

    return lanes(doubles, types.intp, types.intp), codegen

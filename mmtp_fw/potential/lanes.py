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


def _width() -> int:
    features = llvmlite.binding.get_host_cpu_features()
    return 8 if features.get("avx512f") else 4


# Number of lanes: what one register of this machine holds, at least four.
W = _width()
_FLAGS = ("reassoc", "contract", "nsz", "arcp")
_LLVM = ir.VectorType(ir.DoubleType(), W)


class Lanes(types.Type):
    """The numba type of a vector of W doubles."""

    def __init__(self) -> None:
        super().__init__(name=f"Lanes{W}")


lanes = Lanes()


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, _LLVM)


def _broadcast(builder: Any, scalar: Any) -> Any:
    undefined = ir.Constant(_LLVM, ir.Undefined)
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
            value if kind == lanes else _broadcast(builder, value)
            for value, kind in zip(args, sig.args, strict=True)
        ]
        return getattr(builder, method)(*values, flags=_FLAGS)

    for left, right in ((Lanes, Lanes), (Lanes, types.Float), (types.Float, Lanes)):
        lower_builtin(symbol, left, right)(lower)


_binary(operator.add, "fadd")
_binary(operator.sub, "fsub")
_binary(operator.mul, "fmul")
_binary(operator.truediv, "fdiv")
_binary(operator.iadd, "fadd")
_binary(operator.isub, "fsub")
_binary(operator.imul, "fmul")


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(cgutils.gep(builder, data, index), _LLVM.as_pointer())


@intrinsic
def load(typingctx: Any, array: Any, index: Any) -> Any:
    """Return array[index : index + W] of a contiguous one-dimensional array."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(_pointer(context, builder, sig.args[0], *args), align=8)

    return lanes(array, types.intp), codegen


@intrinsic
def store(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Write a vector to array[index : index + W]."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[2], _pointer(context, builder, sig.args[0], *args[:2]), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), codegen


@intrinsic
def spread(typingctx: Any, value: Any) -> Any:
    """Return a vector with `value` in every lane."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _broadcast(builder, args[0])

    return lanes(types.float64), codegen


@intrinsic
def square_root(typingctx: Any, value: Any) -> Any:
    """Return the square roots."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        function = builder.module.declare_intrinsic("llvm.sqrt", [_LLVM])
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
            value = builder.fadd(low, high, flags=_FLAGS)
        return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

    return types.float64(lanes), codegen


@intrinsic
def totals(typingctx: Any, array: Any, index: Any, stride: Any) -> Any:
    """Return, in lane l, the sum over the lanes of the vector at array[index + l·stride].

    A transposition by halves that adds on the way: 3(W − 1) operations instead of W sums.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array, index, stride = args
        rows = []
        for lane in range(W):
            offset = builder.add(index, builder.mul(stride, ir.Constant(stride.type, lane)))
            rows.append(builder.load(_pointer(context, builder, sig.args[0], array, offset), align=8))
        # Each round pairs row a with row a + half: even blocks of lanes keep sums of a, odd ones of b.
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
            # `rows[k]` and `rows[k + half]` must end in lanes that differ in this round's bit.
            rows = [
                builder.fadd(
                    builder.shuffle_vector(rows[2 * k], rows[2 * k + 1], ir.Constant(kind, keep)),
                    builder.shuffle_vector(rows[2 * k], rows[2 * k + 1], ir.Constant(kind, move)),
                    flags=_FLAGS,
                )
                for k in range(half)
            ]
            distance *= 2
        return rows[0]

    return lanes(array, types.intp, types.intp), codegen

"""What the kernels' SIMD steps have in common."""

from __future__ import annotations

from typing import Any

from llvmlite import ir


def splat(builder: Any, scalar: Any, lanes: int) -> Any:
    """A vector with the same number in all lanes."""
    vector = ir.VectorType(scalar.type, lanes)
    nothing, order = ir.Constant(vector, ir.Undefined), ir.VectorType(ir.IntType(32), lanes)
    one = builder.insert_element(nothing, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, nothing, ir.Constant(order, [0] * lanes))

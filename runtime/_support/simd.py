"""LLVM helpers shared by the kernels that write SIMD instructions by hand."""

from __future__ import annotations

from typing import Any

from llvmlite import ir


def splat(builder: Any, scalar: Any, lanes: int) -> Any:
    """Emit a vector that holds one number in every lane.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder at the place of insertion
    scalar : LLVM value to repeat
    lanes : number of lanes

    Returns
    -------
    LLVM value of type ``<lanes x type of scalar>``.

    Examples
    --------
    >>> from llvmlite import ir
    >>> kind = ir.FunctionType(ir.VectorType(ir.FloatType(), 4), [ir.FloatType()])
    >>> function = ir.Function(ir.Module(), kind, "four")
    >>> builder = ir.IRBuilder(function.append_basic_block())
    >>> str(splat(builder, function.args[0], 4).type)
    '<4 x float>'
    """
    vector = ir.VectorType(scalar.type, lanes)
    nothing, order = ir.Constant(vector, ir.Undefined), ir.VectorType(ir.IntType(32), lanes)
    one = builder.insert_element(nothing, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, nothing, ir.Constant(order, [0] * lanes))

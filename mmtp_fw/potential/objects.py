"""Compiled functions as object code, for programs without Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import cfunc


def compile_object(function: Callable[..., Any], signature: Any, name: str) -> bytes:
    """Return a C function as position-independent object code for this CPU, with `name` as its symbol.

    Next to the functions of libm and libc it refers to some of Python's and numba's, on the path of exceptions
    that it never raises.
    """
    from llvmlite import binding as llvm

    compiled = cfunc(signature, nopython=True)(function)  # a cached one has no LLVM code any more
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(compiled._library.get_llvm_str())
    module.get_function(compiled._wrapper_name).name = name
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        reloc="pic",
        codemodel="default",
    )
    return bytes(machine.emit_object(module))

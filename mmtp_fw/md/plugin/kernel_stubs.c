/* SPDX-License-Identifier: MIT */
/* What a compiled kernel refers to on the path of Python exceptions, which it never takes. */
#include <stdlib.h>
#define STUB(name) __attribute__((visibility("hidden"))) void *name(void) { abort(); }
#define VALUE(name) __attribute__((visibility("hidden"))) void *name;
STUB(NRT_Free) STUB(NRT_Allocate) STUB(NRT_decref) STUB(NRT_incref) STUB(NRT_MemInfo_call_dtor)
STUB(PyBytes_FromStringAndSize) STUB(PyErr_Clear) STUB(PyErr_SetNone) STUB(PyErr_SetString)
STUB(PyErr_WriteUnraisable) STUB(PyUnicode_FromString) STUB(Py_DecRef) STUB(numba_do_raise)
STUB(numba_gil_ensure) STUB(numba_gil_release) STUB(numba_runtime_build_excinfo_struct) STUB(numba_unpickle)
VALUE(PyExc_RuntimeError) VALUE(PyExc_StopIteration) VALUE(PyExc_SystemError)

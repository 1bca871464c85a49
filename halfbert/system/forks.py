"""Keeps forked processes from waiting for threads that stayed in the process they were forked from."""

import ctypes
import os
import sys
import weakref
from typing import Any

from halfbert.system.errors import ResourceError

_first_used_in: dict[str, int] = {}  # process, by library
_threaded: "weakref.WeakSet[Any]" = weakref.WeakSet()


def require_own(library: str) -> None:
    """Raise ResourceError if another process, from which this one was forked, has used `library`; note a first use."""
    if _first_used_in.setdefault(library, os.getpid()) != os.getpid():
        raise ResourceError(
            f"{library} was started before this process was forked, and would hang in it: start processes by 'spawn' "
            f"(multiprocessing.get_context('spawn')), load the predictor in the new process only, or choose the engine onnx"
        )


def never_free_in_children(threaded: Any) -> None:
    """Have forked processes keep an object, even at their end, that would wait for its threads when it is freed."""
    _threaded.add(threaded)


def _after_fork() -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the tokenizer has lost its threads, too
    for threaded in _threaded:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(threaded))
    # A process forked after ONNX Runtime (1.31) was imported never ends: at exit it frees what a thread waits for. So
    # the process ends before that, with its own status; only the C library of Linux has the function.
    c = ctypes.CDLL(None)
    if "onnxruntime" in sys.modules and hasattr(c, "on_exit"):
        c.on_exit(c._exit, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

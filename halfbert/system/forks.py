"""Which libraries cannot go on after a fork: their threads stay in the process that started them."""

import os

from halfbert.system.errors import ResourceError

_first_used_in: dict[str, int] = {}  # process, by library


def inherited(library: str) -> bool:
    """Whether the process that first used `library` is another, from which this one was forked; notes a first use."""
    return _first_used_in.setdefault(library, os.getpid()) != os.getpid()


def require_own(library: str) -> None:
    """Raise ResourceError if `library` is `inherited`: it would wait for its threads for ever."""
    if inherited(library):
        raise ResourceError(
            f"{library} was started before this process was forked, and would hang in it: start processes by 'spawn' "
            f"(multiprocessing.get_context('spawn')), load the predictor in the new process only, or choose the engine onnx"
        )

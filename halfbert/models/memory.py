"""Letting go of models that are of no more use.

TensorFlow 2.21 does not free the graphs of traced functions, and these hold the variables that they captured: without this each
fit of a process leaves its weights behind, and its optimizer's moments. TensorFlow is imported when something is released.
"""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_compiled: ContextVar[list[Any] | None] = ContextVar("compiled", default=None)


@contextmanager
def releasing() -> Iterator[None]:
    """Release the models that are noted in the block once it has ended, however it ends; best around a whole function."""
    models: list[Any] = []
    outer = _compiled.set(models)
    try:
        yield
    finally:
        _compiled.reset(outer)
        release(models)
        models.clear()
        gc.collect()  # Keras has its models in cycles; those that a frame still holds stay


def note(model: Any) -> None:
    """Have the innermost `releasing` block release this model."""
    if (models := _compiled.get()) is not None:
        models.append(model)


def release(models: list[Any]) -> None:
    """Let go of the variables of models that are not called any more, and of what the same graphs hold of their optimizers."""
    if not models:
        return
    from tensorflow.python.framework.func_graph import FuncGraph, dismantle_func_graph

    handles = {id(each.handle) for model in models for variable in model.variables for each in _replicas(variable)}
    for graph in [each for each in gc.get_objects() if isinstance(each, FuncGraph)]:
        if any(id(captured) in handles for captured in graph.external_captures):
            dismantle_func_graph(graph)
            graph._function_captures = type(graph._function_captures)()  # it keeps a copy of them beside


def _replicas(variable: Any) -> Sequence[Any]:
    """The variable of each device; itself where there is one."""
    return getattr(variable, "values", (variable,))

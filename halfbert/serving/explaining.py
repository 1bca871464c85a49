"""Explanations of few texts at a time, in a lane of their own: the engine gives them a batch when no texts wait for answers."""

import asyncio
import functools
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from starlette.requests import Request

from halfbert.data.phrases import counted
from halfbert.prediction.scorer import DECIMALS
from halfbert.predictor import explaining
from halfbert.serving import bodies
from halfbert.serving.errors import Refusal
from halfbert.serving.served import Generation
from halfbert.system.errors import InputError

MOST_TEXTS = 10  # of a request
MOST_WAITING = 100  # texts, of all requests


class Explainer:
    """A thread that explains texts. `waiting` is the number of those that it has not finished."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="explaining")
        self.waiting = 0

    async def explain(
        self, generation: Generation, texts: Sequence[str], label: str | None, request: Request, seconds: float
    ) -> list[dict[str, Any]]:
        """The explanation of each text, as JSON has it: of a label, or of the likeliest one.

        Raises Refusal for too many, for a label that there is not, and where time runs out.
        """
        try:
            explaining.check(generation.classifier, label, explaining.OCCLUSION, None)
        except InputError as error:
            raise Refusal(422, "label", f"explain_{error}") from None
        if len(texts) > MOST_TEXTS:
            raise Refusal(
                413, "too_many_texts", f"{counted(len(texts), 'text')} to explain; send at most {MOST_TEXTS} at a time"
            )
        if self.waiting + len(texts) > MOST_WAITING:
            raise Refusal(429, "busy", "too many texts wait to be explained; try again in 5 s", {"Retry-After": "5"})
        given_up = threading.Event()
        work = functools.partial(_explain, generation, texts, label, given_up)
        self.waiting += len(texts)
        try:
            done = asyncio.get_running_loop().run_in_executor(self._pool, work)
            return await bodies.until(request.state.deadline, request, done, given_up.set, seconds)
        finally:
            self.waiting -= len(texts)

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _explain(
    generation: Generation, texts: Sequence[str], label: str | None, given_up: threading.Event
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for text in texts:
        if given_up.is_set():
            break
        explained = asdict(generation.aside.explain(text, label))
        del explained["text"]
        for word in explained["words"]:
            if word["contribution"] is not None:
                word["contribution"] = round(word["contribution"], DECIMALS)
        for name in ("probability", "without_words"):
            explained[name] = round(explained[name], DECIMALS)
        found.append(explained)
    return found

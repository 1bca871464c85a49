"""The course of a request for answers: from its JSON, through the lane of its predictor, to the answers' JSON."""

import asyncio
import itertools
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from pydantic import ValidationError
from starlette.requests import Request

from halfbert.data.phrases import counted
from halfbert.options.serving import ServeOptions
from halfbert.serving import answering, bodies, metrics
from halfbert.serving.answering import Asked, Counts
from halfbert.serving.bodies import Held
from halfbert.serving.errors import Refusal, busy, closing, too_late
from halfbert.serving.explaining import Explainer
from halfbert.serving.lane import Answered
from halfbert.serving.schemas import PredictRequest
from halfbert.serving.served import Generation, Served
from halfbert.serving.shadow import Shadow
from halfbert.serving.tables import Tables
from halfbert.system.errors import InputError, ResourceError

IN_THREAD_TEXTS = 32  # the answers to more are put together in a thread
HELD_BODIES = 64  # of the largest size, at a time
log = logging.getLogger("halfbert.serving")


@dataclass
class Serving:
    """What a process serves. Once `draining`, it tells balancers to send no more."""

    options: ServeOptions
    predictors: Mapping[str, Served]
    shadows: Mapping[str, Shadow]
    drift: dict[str, tuple[Generation, metrics.Drift]]
    held: Held
    tables: Tables
    explainer: Explainer = field(default_factory=Explainer)
    draining: bool = False

    def find(self, name: str | None) -> Served:
        """A predictor by its name, the first one without. Raises Refusal if there is none."""
        if name is None:
            return next(iter(self.predictors.values()))
        if name not in self.predictors:
            raise Refusal(404, "no_predictor", f"no predictor {name[:100]!r}; there are {', '.join(self.predictors)}")
        return self.predictors[name]


async def predict(serving: Serving, request: Request) -> bytes:
    """The JSON with the answers to a request. Raises Refusal."""
    asked_for = checked(await bodies.read_json(request, serving.options.max_body, serving.held), serving.options.max_texts)
    served = serving.find(asked_for.predictor)
    generation = served.now
    rule = await ready_rule(generation, asked_for.max_error)
    read = (asked_for.texts, generation.manifest.text_columns, serving.options.max_characters)
    asked = await _here_or_in_thread(len(asked_for.texts) > IN_THREAD_TEXTS, answering.read, *read)
    if serving.options.log_texts:
        for text in asked.texts:
            log.info("%s text %s", served.name, json.dumps(text))
    answered = await computed(serving, served, generation, asked, request) if asked.texts else None
    explained = None
    if asked_for.explain and asked.texts:
        wanted = (generation, asked.texts, asked_for.explain_label)
        explained = await serving.explainer.explain(*wanted, request, serving.options.timeout)
    parts = (asked_for, asked, served.name, generation, answered, explained, rule)
    many = len(asked_for.texts) > IN_THREAD_TEXTS or asked_for.unread  # for which texts are tokenised once more
    body, counts = await _here_or_in_thread(many, _content, *parts)
    count(serving, served, generation, asked, answered, counts)
    return body


def checked(value: Any, most_texts: int) -> PredictRequest:
    """A request's JSON as what it asks for. Raises Refusal, naming the field, if it is not such."""
    try:
        found = PredictRequest.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"][:3])
        raise Refusal(422, "invalid", f"{place[:100] or 'the body'}: {first['msg'][:200]}") from None
    if len(found.texts) > most_texts:
        raise Refusal(413, "too_many_texts", f"{counted(len(found.texts), 'text')}; send at most {most_texts:,} at a time")
    return found


async def ready_rule(generation: Generation, max_error: float | None) -> str | None:
    """What the rule came to, once it is ready. Raises Refusal if the predictor cannot give its guarantee."""
    try:
        reviewer = await asyncio.to_thread(generation.reviewer, max_error) if max_error else generation.reviewer(None)
    except InputError as error:
        raise Refusal(422, "rule", str(error)) from None
    return reviewer.line or None


async def computed(serving: Serving, served: Served, generation: Generation, asked: Asked, request: Request) -> Answered:
    """The answers of the predictor's lane. Raises Refusal if too much waits, or time runs out."""
    lane, loop = generation.lane, asyncio.get_running_loop()
    if lane.waiting and lane.waiting + len(asked.texts) > serving.options.max_queue:
        raise busy(lane.retry_after())
    arrived: asyncio.Future[Answered | None] = loop.create_future()

    def arrive(answered: Answered | None) -> None:
        if not arrived.done():
            arrived.set_result(answered)

    def finished(answered: Answered | None) -> None:
        try:
            loop.call_soon_threadsafe(arrive, answered)
        except RuntimeError:  # the server has ended in the meantime
            return

    seconds = request.state.deadline - time.monotonic()
    try:
        ticket = lane.submit(asked.texts, finished, seconds)
    except ResourceError:  # closed since: the folder was loaded again
        if served.now is generation:
            raise closing() from None
        return await computed(serving, served, served.now, asked, request)
    timeout = serving.options.timeout
    answered = await bodies.until(request.state.deadline, request, arrived, lambda: lane.abandon(ticket), timeout)
    if answered is None:
        raise too_late(timeout)
    return answered


def _content(
    asked_for: PredictRequest,
    asked: Asked,
    name: str,
    generation: Generation,
    answered: Answered | None,
    explained: Sequence[dict[str, Any]] | None,
    rule: str | None,
) -> tuple[bytes, Counts]:
    answers, counts = answering.answers(asked_for, asked, generation, answered, explained)
    body = {
        "predictor": name,
        "engine": generation.classifier.engine,
        "calibrated": generation.manifest.calibration is not None,
        "rule": rule if asked_for.max_error else None,
        "answers": answers,
    }
    return msgspec.json.encode(body), counts


def count(
    serving: Serving, served: Served, generation: Generation, asked: Asked, answered: Answered | None, counts: Counts
) -> None:
    """Put the answers to a request into the metrics, and give some of its texts to the shadow."""
    name = served.name
    outcomes = {"answered": counts.answered, "refused": len(asked.problems), "failed": counts.failed}
    for outcome, number in outcomes.items():
        if number:
            metrics.TEXTS.labels(name, outcome).inc(number)
    if answered is None:
        return
    for counter, number in ((metrics.TOKENS, counts.tokens), (metrics.CUT, counts.cut), (metrics.REVIEW, counts.reviewed)):
        counter.labels(name).inc(number)
    for label, number in zip(generation.manifest.labels, counts.labels.tolist(), strict=True):
        if number:
            metrics.LABELS.labels(name, label).inc(number)
    known = serving.drift.get(name)
    if known is None or known[0] is not generation:
        known = serving.drift[name] = (generation, metrics.Drift(name, generation.classifier.predictor))
    good = ~answered.failed
    known[1].add(list(itertools.compress(asked.texts, good)), answered.tokens[good], answered.probabilities[good])
    if name in serving.shadows:
        serving.shadows[name].offer(generation, asked.texts, answered)


async def _here_or_in_thread(many: bool, function: Any, *arguments: Any) -> Any:
    """What the function returns; for many texts it runs in a thread, so that other requests go on."""
    return await asyncio.to_thread(function, *arguments) if many else function(*arguments)

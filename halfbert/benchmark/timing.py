"""The timing: every contestant alone, and pairs against each other, each repeat in fresh processes."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from halfbert.benchmark import record as records
from halfbert.benchmark import statistics
from halfbert.benchmark.figures import chief_batch
from halfbert.benchmark.plan import FIXED_TOKENS, Plan, full_batches, gflop
from halfbert.benchmark.process import Worker
from halfbert.benchmark.record import Case, Contestant, MeasuredCase, Pair, Work
from halfbert.benchmark.trial import leave_out, started
from halfbert.system.console import StopRequest, progress, say
from halfbert.system.errors import HalfbertError

Turn = TypeVar("Turn")


def most_attempts(plan: Plan) -> int:
    """How often a disturbed block is measured: once only in a quick look."""
    return 1 if plan.options.quick else statistics.MOST_ATTEMPTS


def _turns(turns: Sequence[Turn], label: str, stop: StopRequest) -> Iterator[Turn]:
    """The turns one after the other, until a signal asks to stop: what was measured by then is reported."""
    for turn in progress(turns, len(turns), label):
        if stop.signal_number is not None:
            return
        yield turn


def measure_alone(plan: Plan, stop: StopRequest) -> None:
    """Time every contestant, in turn and in the opposite turn every second time."""
    running = plan.running
    turns = [(repeat, who) for repeat in range(plan.options.repeats) for who in running[:: -1 if repeat % 2 else 1]]
    for contestant in running:
        contestant.cases = [_measured(case, contestant, plan) for case in cases_of(contestant, plan)]
    for repeat, contestant in _turns(turns, "timing each engine alone", stop):
        if contestant.not_run:
            continue
        try:
            with started(contestant, plan) as worker:
                for case in contestant.cases:
                    case.blocks.append(_block(worker, case, repeat, plan))
                if "cold" in plan.options.scenarios:
                    seconds = {"first_answer_seconds": worker.first_answer_seconds, **worker.ready["seconds"]}
                    contestant.cold.append(records.Start(repeat=repeat, **seconds, **worker.ask({"do": "memory"})))
        except HalfbertError as error:
            leave_out(contestant, error)


def cases_of(contestant: Contestant, plan: Plan) -> list[Case]:
    """The cases that a contestant can run.

    The paper's is one for the processor. An engine that takes texts alone, as ktrain's does, shows no model alone and
    truncates texts at the predictor's own maxlen.
    """
    predictor = plan.subject(contestant).described
    longest = predictor.positions if contestant.model_alone else predictor.maxlen
    return [
        case
        for case in plan.cases
        if (case.scenario != "paper" or contestant.device == "cpu")
        and (case.part != "model" or contestant.model_alone)
        and (case.lengths != "fixed" or longest >= FIXED_TOKENS)
    ]


def _measured(case: Case, contestant: Contestant, plan: Plan) -> MeasuredCase:
    subject = plan.subject(contestant)
    of_texts = itertools.islice(itertools.cycle(subject.token_lengths[case.lengths]), case.texts)
    lengths = list(itertools.chain.from_iterable(of_texts))
    return MeasuredCase(**vars(case), gflop=gflop(subject.described.sizes, lengths))


def _block(worker: Worker, case: MeasuredCase, repeat: int, plan: Plan) -> records.Block:
    work = records.part(Work, case)
    warm_up = worker.ask({"do": "warm", "work": work})["seconds"]
    command = {"do": "block", "work": work, "seconds": 0.0 if case.scenario == "paper" else plan.options.seconds}
    best, others = statistics.undisturbed(lambda: records.Timed(**worker.ask(command)), most_attempts(plan))
    return records.Block(**vars(best), repeat=repeat, warm_up_seconds=warm_up, set_aside=others)


def pairs(plan: Plan) -> list[Pair]:
    """Engines of one predictor against its first, predictors against the first by the same engine, and each A against itself.

    In the setting with the most threads of each device.
    """
    against: list[tuple[Contestant, Contestant]] = []
    for device in plan.options.devices:
        on_device = [contestant for contestant in plan.running if contestant.device == device]
        here = [c for c in on_device if c.threads == max(other.threads for other in on_device)]
        for b in here:
            same_predictor = next(a for a in here if a.predictor == b.predictor)
            same_engine = next(a for a in here if a.engine == b.engine)
            against += [(a, b) for a in (same_predictor, same_engine) if a is not b]
    itself = [(a, a) for a in {a.who: a for a, _ in against}.values()]
    batches = {"single": 1, "offline": chief_batch(plan.options.batches)}
    natural = len(plan.texts.by_lengths["natural"])
    return [
        Pair(a=a.who, b=b.who, case=Work(lengths="natural", part="end to end", batch=n, texts=full_batches(natural, n)))
        for a, b in [*itself, *against]
        for n in (batch for scenario, batch in batches.items() if scenario in plan.options.scenarios and batch)
    ]


def measure_pairs(plan: Plan, stop: StopRequest) -> list[Pair]:
    """Time every pair in blocks of A B B A, a fresh pair of processes for each repeat."""
    measured = pairs(plan)
    by_who = {contestant.who: contestant for contestant in plan.contestants}
    together = [list(found) for _, found in itertools.groupby(measured, lambda pair: (pair.a, pair.b))]
    turns = [(repeat, found) for repeat in range(plan.options.repeats) for found in together]
    for repeat, found in _turns(turns, "timing pairs", stop):
        try:
            with started(by_who[found[0].a], plan) as first, started(by_who[found[0].b], plan) as second:
                for pair in found:
                    pair.blocks.append(_four_blocks(first, second, pair.case, repeat, plan))
        except HalfbertError as error:  # two at once may be too much where one was not
            say(f"a pair was left out, repeat {repeat + 1}: {error}")
    for pair in measured:
        pair.comparison = _comparison(pair, measured)
    return measured


def _four_blocks(first: Worker, second: Worker, case: Work, repeat: int, plan: Plan) -> records.PairBlock:
    work = records.part(Work, case)
    for worker in (first, second):
        worker.ask({"do": "warm", "work": work})

    def block() -> records.TimedPair:
        command = {"do": "block", "work": work, "seconds": plan.options.seconds / 4}
        a1, b1, b2, a2 = parts = [records.Timed(**worker.ask(command)) for worker in (first, second, second, first)]
        cpu, wall = sum(part.cpu_seconds for part in parts), sum(part.wall_seconds for part in parts)
        return records.TimedPair(a=[a1.seconds, a2.seconds], b=[b1.seconds, b2.seconds], cpu_seconds=cpu, wall_seconds=wall)

    best, others = statistics.undisturbed(block, most_attempts(plan))
    return records.PairBlock(**vars(best), repeat=repeat, set_aside=others)


def _comparison(pair: Pair, measured: Sequence[Pair]) -> records.Comparison | None:
    """What a pair's blocks say, given those of its A against itself; None for that one, and where blocks are missing."""
    itself = next(other for other in measured if other.a == other.b == pair.a and other.case == pair.case)
    if pair is itself or not pair.blocks or not itself.blocks:
        return None
    sides = ([block.a for block in pair.blocks], [block.b for block in pair.blocks])
    a, b = (float(np.median([np.mean([np.mean(part) for part in block]) for block in side])) for side in sides)
    batch, ratio = pair.case.batch, statistics.compare(_ratios(pair), _ratios(itself))
    return records.Comparison(a_seconds_per_text=a / batch, b_seconds_per_text=b / batch, **vars(ratio))


def _ratios(pair: Pair) -> list[float]:
    """The ratio A / B of each ABBA block; each of its four stretches counts by its mean call."""
    means = ([[float(np.mean(part)) for part in side] for side in (block.a, block.b)] for block in pair.blocks)
    return [statistics.block_ratio(first, second) for first, second in means]

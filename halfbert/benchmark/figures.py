"""Statistics of a benchmark, from its record alone."""

import itertools
from collections.abc import Collection, Iterator

import numpy as np

from halfbert.benchmark import statistics
from halfbert.benchmark.record import Case, Contestant, Figure, MeasuredCase, Predictor, Record, Who, part
from halfbert.data.phrases import counted

CHIEF_BATCH = 32


def figures(record: Record) -> list[Figure]:
    """The statistics of each case of each contestant."""
    return [_figure(record, contestant, case) for contestant, case in measured(record)]


def measured(record: Record) -> Iterator[tuple[Contestant, MeasuredCase]]:
    """Each contestant with each of its cases that has a block."""
    return ((contestant, case) for contestant in record.contestants for case in contestant.cases if case.blocks)


def _figure(record: Record, contestant: Contestant, case: MeasuredCase) -> Figure:
    blocks = case.blocks
    calls_a_pass = -(-case.texts // case.batch)
    passes = [sum(block.seconds) * calls_a_pass / len(block.seconds) for block in blocks]
    ceiling = record.ceilings.get(str(contestant.threads)) if contestant.device == "cpu" else None
    gflop_per_second = case.gflop / float(np.median(passes))
    return Figure(
        **part(Who, contestant),
        **part(Case, case),
        seconds_per_call=statistics.latency(list(itertools.chain.from_iterable(block.seconds for block in blocks))),
        seconds_per_pass=statistics.describe(passes),
        texts_per_second=statistics.describe([case.texts / seconds for seconds in passes]),
        gflop_per_second=gflop_per_second,
        share_of_ceiling=gflop_per_second / ceiling if ceiling else None,
        processors_used=sum(block.cpu_seconds for block in blocks) / sum(block.wall_seconds for block in blocks),
        warm_up_seconds=float(np.median([sum(block.warm_up_seconds) for block in blocks])),
        blocks_run_again=sum(len(block.set_aside) for block in blocks),
        blocks_disturbed=sum(block.disturbed for block in blocks),
    )


def samples(record: Record, figure: Figure) -> np.ndarray:
    """(calls,) seconds of all calls that a figure describes: those of the blocks that count."""
    case = next(case for case in record.contestant(figure).cases if case.kind == figure.kind)
    return np.concatenate([block.seconds for block in case.blocks])


def cell_figures(record: Record, scenario: str, lengths: str = "natural", part: str = "end to end") -> list[Figure]:
    """The figures of one scenario, in the record's order."""
    return [figure for figure in record.figures if figure.kind[:3] == (scenario, lengths, part)]


def chief_batch(batches: Collection[int]) -> int | None:
    """Of the numbers of texts a call, the one to quote for many texts: CHIEF_BATCH, or the largest."""
    return CHIEF_BATCH if CHIEF_BATCH in batches else max(batches, default=None)


def plane_points(record: Record) -> tuple[list[tuple[Figure, float]], str | None]:
    """The figures of the chief batch with their contestants' scores, of those that have one, and what the score is called.

    Where none has a score the number of parameters in millions takes its place, and its name is None.
    """
    batched = cell_figures(record, "offline")
    batch = chief_batch({figure.batch for figure in batched})
    chief = [figure for figure in batched if figure.batch == batch]
    scored = [(figure, score) for figure in chief if (score := score_of(record, record.contestant(figure)))]
    if scored:
        return [(figure, value) for figure, (_, value) in scored], scored[0][1][0]
    return [(figure, record.predictor(figure.predictor).parameters / 1e6) for figure in chief], None


def score_of(record: Record, contestant: Contestant) -> tuple[str, float] | None:
    """Name and value: the accuracy on the benchmark's own texts where they have labels, else what the manifest holds."""
    if contestant.accuracy is not None:
        return "accuracy on these texts", contestant.accuracy
    score = record.predictor(contestant.predictor).score
    return (f"{score.name} on the run's test rows", score.value) if score else None


def too_good(predictor: Predictor, used: int) -> str:
    """What it means for the accuracy that a predictor learned from some of the texts used; empty where it did not."""
    known = predictor.learned_from
    if not known:
        return ""
    worth = "means nothing" if 2 * known > used else "is too high"
    return (
        f"{known:,} of the {counted(used, 'text')} trained {predictor.name} or chose its epoch, so its accuracy on these texts "
        f"{worth} (its speed is not affected)"
    )

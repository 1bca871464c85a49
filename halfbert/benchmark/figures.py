"""Statistics of a benchmark, from its record alone."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from halfbert.benchmark import statistics
from halfbert.benchmark.record import Contestant, Figure, MeasuredCase, Record, Who

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
        **vars(contestant.who),
        scenario=case.scenario,
        lengths=case.lengths,
        part=case.part,
        batch=case.batch,
        texts=case.texts,
        seconds_per_call=statistics.latency(calls(case).tolist()),
        seconds_per_pass=statistics.describe(passes),
        texts_per_second=statistics.describe([case.texts / seconds for seconds in passes]),
        gflop_per_second=gflop_per_second,
        share_of_ceiling=gflop_per_second / ceiling if ceiling else None,
        processors_used=sum(block.cpu_seconds for block in blocks) / sum(block.wall_seconds for block in blocks),
        warm_up_seconds=float(np.median([sum(block.warm_up_seconds) for block in blocks])),
        blocks_run_again=sum(len(block.set_aside) for block in blocks),
        blocks_disturbed=sum(block.disturbed for block in blocks),
    )


def calls(case: MeasuredCase) -> np.ndarray:
    """(calls,) seconds of all calls of the blocks that count."""
    return np.concatenate([block.seconds for block in case.blocks])


def samples(record: Record, figure: Figure) -> np.ndarray:
    """(calls,) seconds of all calls that a figure describes."""
    case = next(case for case in record.contestant(figure).cases if case.kind == figure.kind)
    return calls(case)


def cell_figures(record: Record, scenario: str, lengths: str = "natural", part: str = "end to end") -> list[Figure]:
    """The figures of one scenario, in the record's order."""
    return [figure for figure in record.figures if figure.kind[:3] == (scenario, lengths, part)]


def chief_batch(batches: Collection[int]) -> int | None:
    """Of the numbers of texts a call, the one to quote for many texts: CHIEF_BATCH, or the largest."""
    return CHIEF_BATCH if CHIEF_BATCH in batches else max(batches, default=None)


@dataclass(kw_only=True)
class Point(Who):
    """A contestant by texts a second, bytes of its weights and score; of parameters in millions where none has a score."""

    batch: int
    texts_per_second: float
    weight_bytes: int
    scored: bool
    height: float
    height_name: str


def plane_points(record: Record) -> list[Point]:
    """Every measured contestant; only those with a score where any has one."""
    points = []
    batched = cell_figures(record, "offline")
    batch = chief_batch({figure.batch for figure in batched})
    scored = any(score_of(record, contestant) for contestant in record.contestants)
    for figure in (figure for figure in batched if figure.batch == batch):
        contestant = record.contestant(figure)
        name, height = "parameters (M); there is no score", record.predictor(figure.predictor).parameters / 1e6
        if scored:
            score = score_of(record, contestant)
            if score is None:
                continue
            name, height = score
        points.append(
            Point(
                **vars(figure.who),
                batch=figure.batch,
                texts_per_second=figure.texts_per_second.median,
                weight_bytes=contestant.weight_bytes or 0,
                scored=scored,
                height=height,
                height_name=name,
            )
        )
    return points


def score_of(record: Record, contestant: Contestant) -> tuple[str, float] | None:
    """Name and value: the accuracy on the benchmark's own texts where they have labels, else what the manifest holds."""
    if contestant.accuracy is not None:
        return "accuracy on these texts", contestant.accuracy
    score = record.predictor(contestant.predictor).score
    return (f"{score.name} on the run's test rows", score.value) if score else None

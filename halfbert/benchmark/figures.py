"""Statistics of a benchmark, from its record alone.

A *contestant* of the record is a predictor behind an engine on a device with so many threads; a *case* is what was timed of
it; a *block* is one repeat of a case. A *setting* names device and threads.
"""

from collections.abc import Collection, Iterator

import numpy as np

from halfbert.benchmark import statistics as timing

CHIEF_BATCH = 32
KIND = ("scenario", "lengths", "part", "batch")
WHO = ("predictor", "engine", "device", "threads", "setting")


def figures(record: dict) -> list[dict]:
    """One row of statistics for each case of each contestant, as the workbook and the record show them."""
    return [_figure(record, contestant, case) for contestant, case in measured(record)]


def measured(record: dict) -> Iterator[tuple[dict, dict]]:
    for contestant in record["contestants"]:
        for case in contestant["cases"]:
            if case["blocks"]:
                yield contestant, case


def _figure(record: dict, contestant: dict, case: dict) -> dict:
    blocks, calls = case["blocks"], _calls(case)
    rates = [case["batch"] * len(block["seconds"]) / sum(block["seconds"]) for block in blocks]
    passes = [case["texts"] / rate for rate in rates]
    attempts = [attempt for block in blocks for attempt in (block, *block["set_aside"])]
    ceiling = record["ceilings"].get(str(contestant["threads"])) if contestant["device"] == "cpu" else None
    gflop_per_second = case["gflop"] / float(np.median(passes))
    return {
        **{name: contestant[name] for name in WHO},
        **{name: case[name] for name in KIND},
        "texts": case["texts"],
        "seconds_per_call": {**timing.describe(calls), **timing.percentiles(calls)},
        "seconds_per_pass": timing.describe(passes),
        "texts_per_second": timing.describe(rates),
        "gflop_per_second": gflop_per_second,
        "share_of_ceiling": ceiling and gflop_per_second / ceiling,
        "processors_used": sum(block["cpu_seconds"] for block in blocks) / sum(block["wall_seconds"] for block in blocks),
        "warm_up_seconds": timing.describe([sum(block["warm_up_seconds"]) for block in blocks])["median"],
        "blocks_run_again": len(attempts) - len(blocks),
        "blocks_disturbed": sum(block["disturbed"] for block in blocks),
    }


def _calls(case: dict) -> np.ndarray:
    return np.concatenate([block["seconds"] for block in case["blocks"]])


def samples(record: dict, figure: dict) -> np.ndarray:
    """(calls,) seconds of all calls of the blocks that count, of the case that a figure describes."""
    for contestant, case in measured(record):
        if all(contestant[name] == figure[name] for name in WHO) and all(case[name] == figure[name] for name in KIND):
            return _calls(case)
    raise ValueError("the record has no such case")


def cell_figures(record: dict, scenario: str, lengths: str = "natural", part: str = "end to end") -> list[dict]:
    """The figures of one scenario, in the record's order."""
    wanted = (scenario, lengths, part)
    return [figure for figure in record["figures"] if tuple(figure[name] for name in KIND[:3]) == wanted]


def chief_batch(batches: Collection[int]) -> int | None:
    """Of the numbers of texts a call, the one that stands for many texts where only one can: CHIEF_BATCH, or the largest."""
    return CHIEF_BATCH if CHIEF_BATCH in batches else max(batches, default=None)


def plane_points(record: dict) -> list[dict]:
    """Every measured contestant with its texts a second, weights and score (parameters in millions where none has one)."""
    found = []
    batched = cell_figures(record, "offline")
    batch = chief_batch({figure["batch"] for figure in batched})
    scores = {contestant_key(contestant): score_of(record, contestant) for contestant in record["contestants"]}
    scored = any(score is not None for score in scores.values())
    for figure in batched:
        contestant = contestant_of(record, figure)
        score = scores[contestant_key(contestant)]
        if figure["batch"] == batch and (score is not None or not scored):
            parameters = predictor_of(record, figure["predictor"])["parameters"] / 1e6
            found.append(
                {
                    **{name: figure[name] for name in (*WHO, "batch")},
                    "texts_per_second": figure["texts_per_second"]["median"],
                    "weight_bytes": contestant["weight_bytes"],
                    "scored": scored,
                    "height": score[1] if scored else parameters,
                    "height_name": score[0] if scored else "parameters (M); there is no score",
                }
            )
    return found


def score_of(record: dict, contestant: dict) -> tuple[str, float] | None:
    """Name and value: the accuracy on the benchmark's own texts where they have labels, else what the manifest holds."""
    if contestant.get("accuracy") is not None:
        return "accuracy on these texts", contestant["accuracy"]
    score = predictor_of(record, contestant["predictor"])["score"]
    return (f"{score['name']} on the run's test rows", score["value"]) if score else None


def contestant_key(contestant: dict) -> tuple:
    """What tells a contestant from the others."""
    return tuple(contestant[name] for name in WHO)


def contestant_of(record: dict, figure: dict) -> dict:
    return next(c for c in record["contestants"] if contestant_key(c) == contestant_key(figure))


def predictor_of(record: dict, name: str) -> dict:
    return next(predictor for predictor in record["predictors"] if predictor["name"] == name)

"""Records of a benchmark, made by hand."""

from dataclasses import replace

from support import ROOT

from halfbert.benchmark import figures as benchmark_figures
from halfbert.benchmark import record as records

PUBLISHED = sorted((ROOT / "results" / "published" / "benchmark").glob("*.json"))


def timed(seconds, disturbed=False):
    share, total = 0.2 if disturbed else 0.0, sum(seconds)
    return records.Timed(seconds=seconds, cpu_seconds=2 * total, wall_seconds=total, foreign_share=share, disturbed=disturbed)


def case(scenario, batch, seconds_a_call, texts=64, lengths="natural", part="end to end", calls=128):
    """Two repeats, of which the second takes a tenth longer; its first attempt was disturbed."""
    slower = [1.1 * seconds_a_call] * calls
    attempts = ([seconds_a_call] * calls, []), (slower, [timed(slower, disturbed=True)])
    blocks = [
        records.Block(**vars(timed(seconds)), repeat=repeat, warm_up_seconds=[0.5, 0.25], set_aside=set_aside)
        for repeat, (seconds, set_aside) in enumerate(attempts)
    ]
    kind = {"scenario": scenario, "lengths": lengths, "part": part, "batch": batch}
    return records.MeasuredCase(**kind, texts=texts, gflop=6.4, blocks=blocks)


def contestant(predictor, engine, factor, device="cpu"):
    """A contestant that takes `factor` milliseconds for one text, and half of that in batches."""
    seconds = factor / 1000
    cases = [case("single", 1, seconds), case("single", 1, 3 * seconds, lengths="fixed", part="model", calls=8)]
    cases += [case("offline", batch, batch * seconds / 2, part=part) for batch in (8, 32) for part in ("end to end", "model")]
    cases += [case("paper", 1, seconds)] if device == "cpu" else []
    memory = {"resident_after_import": 300_000_000, "peak_above_import": 123_000_000, "gpu_peak": None}
    cold = {"import_seconds": 1.0, "load_seconds": 0.25, **memory}
    measured = {"weight_bytes": 90_000_000 if predictor == "large" else 45_000_000, "accuracy": 0.75, "equal_answers": 1.0}
    measured["cold"] = [records.Start(repeat=n, first_answer_seconds=1.5 + n / 10, **cold) for n in range(2)]
    who = {"predictor": predictor, "engine": engine, "device": device, "threads": 2}
    return records.Contestant(**who, setting="cpu, 2 threads" if device == "cpu" else "gpu", **measured, cases=cases)


def pair(a, b, ratio, verdict):
    block = {"a": [[1.0], [1.0]], "b": [[0.5], [0.5]], "cpu_seconds": 3.0, "wall_seconds": 3.0, "foreign_share": 0.0}
    seconds = {"a_seconds_per_text": 0.010, "b_seconds_per_text": 0.010 / ratio}
    found = {"ratio": ratio, "interval": [0.9 * ratio, 1.1 * ratio], "itself": 1.0, "itself_spread": 1.07}
    return records.Pair(
        a=a.who,
        b=b.who,
        case=records.Work(lengths="natural", part="end to end", batch=1, texts=64),
        blocks=[records.PairBlock(**block, repeat=0, set_aside=[])],
        comparison=records.Comparison(**found, **seconds, time_saved=1 - 1 / ratio, verdict=verdict),
    )


def record():
    """Two predictors with two engines each, one engine that is not installed, two pairs; the rest as it was published."""
    published = records.read(PUBLISHED[0])
    times = (("large", "keras", 10), ("large", "onnx", 4), ("small", "keras", 5), ("small", "onnx", 2))
    a, b, c, d = contestants = [contestant(*each) for each in times]
    missing = records.Contestant(**{**vars(d.who), "engine": "torch"}, not_run="PyTorch is not installed: pip install torch")
    sizes = (("large", "bert", 22_000_000, 0.80), ("small", "distilbert", 11_000_000, 0.76))
    predictors = [
        replace(known, name=name, model=model, parameters=parameters, score=records.Score(name="accuracy", value=score))
        for known, (name, model, parameters, score) in zip(published.predictors, sizes, strict=True)
    ]
    pairs = [pair(a, c, 2.0, "B takes less time"), pair(b, d, 1.01, "inconclusive")]
    made = {"predictors": predictors, "contestants": [*contestants, missing], "pairs": pairs, "ceilings": {"2": 100.0}}
    return with_figures(replace(published, **made))


def with_figures(record):
    record.figures = benchmark_figures.figures(record)
    return record


def of_cases(record, keep):
    """The record with only some cases of each contestant."""
    for each in record.contestants:
        each.cases = [case_ for case_ in each.cases if keep(case_)]
    return with_figures(record)


def without_accuracies(record):
    for each in record.contestants:
        each.accuracy = None
    return record


def without_scores(record):
    for each in without_accuracies(record).predictors:
        each.score = None
    return record

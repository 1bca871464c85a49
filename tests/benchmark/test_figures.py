"""Figures of a benchmark, from records made by hand."""

import copy

import pytest
from benchmark_records import case, contestant, with_figures, without_accuracies, without_scores

from halfbert.benchmark import figures as benchmark_figures


def test_figures_of_a_case(record):
    figure = next(f for f in record.figures if f.kind == ("offline", "natural", "model", 32))
    assert str(figure.who) == "large, keras, cpu, 2 threads"
    # 32 texts in 0.16 s, and in 0.176 s in the repeat that took a tenth longer.
    rates = figure.texts_per_second
    assert (rates.max, rates.min) == (pytest.approx(200.0), pytest.approx(200 / 1.1))
    assert rates.samples == 2 and figure.seconds_per_call.samples == 256
    assert figure.seconds_per_pass.median == pytest.approx(0.336)  # 64 texts
    assert figure.gflop_per_second == pytest.approx(6.4 / 0.336)
    assert figure.share_of_ceiling == pytest.approx(6.4 / 0.336 / 100)
    assert figure.processors_used == pytest.approx(2.0)
    assert figure.warm_up_seconds == 0.75
    assert (figure.blocks_run_again, figure.blocks_disturbed) == (1, 0)


def test_what_does_not_count(record):
    """Attempts that were set aside; the processor's ceiling, of a GPU; of a batch that is not full, the texts that it lacks."""
    before = copy.deepcopy(record.figures)
    for contestant_ in record.contestants:
        for case_ in contestant_.cases:
            case_.blocks[1].set_aside[0].seconds = [1000.0]
    assert benchmark_figures.figures(record) == before
    record.contestants = [contestant("large", "keras", 1, device="gpu")]
    assert {figure.share_of_ceiling for figure in benchmark_figures.figures(record)} == {None}
    record.contestants[0].cases = [case("offline", 8, 1.0, texts=12, calls=4)]  # batches of 8 and 4
    assert with_figures(record).figures[0].texts_per_second.max == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("change", "name", "heights"),
    [
        (lambda record: record, "accuracy on these texts", [0.75] * 4),
        (without_accuracies, "accuracy on the run's test rows", [0.80, 0.80, 0.76, 0.76]),
        (without_scores, None, [22.0, 22.0, 11.0, 11.0]),
    ],
)
def test_points_of_the_plane(record, change, name, heights):
    points, found = benchmark_figures.plane_points(change(record))
    assert [(f.predictor, f.engine) for f, _ in points] == [(n, e) for n in ("large", "small") for e in ("keras", "onnx")]
    assert found == name and [height for _, height in points] == heights and {f.batch for f, _ in points} == {32}

"""Pictures of a benchmark name every predictor and engine, and no name covers anything."""

from dataclasses import replace

import pytest
from pictures import numbers_in, overlaps
from support import ROOT

from halfbert.benchmark import plots
from halfbert.benchmark import record as records

ENGINES = ("ktrain", "keras", "onnx", "onnx-int8", "torch", "torch-compiled-float16")


@pytest.fixture
def crowded():
    """Two predictors, each with six engines that are about as fast."""
    record = records.read(ROOT / "results" / "published" / "benchmark" / "messages.json")
    of_one = {each.predictor: each for each in record.contestants if each.engine == "onnx"}
    contestants = [replace(each, engine=engine) for each in of_one.values() for engine in ENGINES]
    figures = [
        replace(
            figure,
            engine=engine,
            batch=batch,
            texts_per_second=replace(figure.texts_per_second, median=figure.texts_per_second.median * (1 + number / 100)),
        )
        for figure in record.figures
        if figure.engine == "onnx" and figure.kind[:3] == ("offline", "natural", "end to end")
        for number, engine in enumerate(ENGINES)
        for batch in (8, 32)
    ]
    return replace(record, contestants=contestants, figures=figures)


@pytest.mark.parametrize("picture", [plots.plane, plots.throughput])
def test_every_engine_is_named_and_nothing_is_covered(crowded, tmp_path, figures, picture):
    picture(crowded, tmp_path / "picture.png")
    names = numbers_in(figures[0].axes[0])
    assert len(names) == 12 and all(any(f", {engine}" in name for name in names) for engine in ENGINES)
    assert overlaps(figures[0]) == []

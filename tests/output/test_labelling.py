"""Names in pictures cover neither data nor each other, by matplotlib's own geometry, however crowded the picture is."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from pictures import DRAW, overlaps

from halfbert.output import calibration_plots, labelling, plots
from halfbert.output.labelling import Named
from halfbert.output.record import Guarantee
from halfbert.scoring.intervals import Interval
from halfbert.scoring.reliability import bins_of

SCORES = ("accuracy", "macro_f1", "micro_f1", "roc_auc", "mean_average_precision")
ENDS = Interval(0.8, 0.7, 0.9)


def curves(epochs: int, spread: float):
    """All scores within `spread` of each other at the end."""
    return [
        {"epoch": epoch, "train_loss": 0.5, "val_loss": 0.5 + spread}
        | {f"val_{name}": 0.8 + spread * number * epoch / epochs for number, name in enumerate(SCORES)}
        for epoch in range(1, epochs + 1)
    ]


@pytest.mark.parametrize("spread", [0.0, 0.001, 0.04])
@pytest.mark.parametrize("epochs", [1, 2, 20])
def test_names_of_lines_that_end_together(drawn, epochs, spread):
    figure = drawn(plots.learning_curves, curves(epochs, spread), 1, intervals={f"val_{name}": ENDS for name in SCORES})
    assert [len(axes.texts) for axes in figure.axes] == [2, 5] and overlaps(figure) == []


@pytest.mark.parametrize("answered", [(0.5, 0.5, 0.5), (0.5, 0.52, 0.55), (0.01, 0.02, 1.0)])
def test_guarantees_that_stand_together(drawn, answered):
    shares = np.arange(1, 201) / 200
    guarantees = [
        Guarantee("error", limit, share, 0.9 * limit) for limit, share in zip((0.02, 0.03, 0.1), answered, strict=True)
    ]
    figure = drawn(calibration_plots.risk_coverage, {"error": (shares, 0.1 * shares**2)}, guarantees)
    assert len(figure.axes[0].texts) == 3 and overlaps(figure) == []


@pytest.mark.parametrize(
    "picture", ["learning_curves", "risk_coverage", "text_lengths", "learning_rate", "learning_rate_finder"]
)
def test_the_example_of_every_picture(figures, tmp_path, picture):
    DRAW[picture](tmp_path / "picture.png")
    assert overlaps(figures[0]) == []


def test_bins_of_few_rows_are_pale_and_no_legend_covers_a_bar(drawn):
    confidence = np.repeat(np.linspace(0.05, 0.95, 10), [1, 9, 10, 11, 40, 40, 40, 40, 40, 40])
    figure = drawn(calibration_plots.reliability, {"network": bins_of(confidence, confidence > 0.3)}, "multiclass")
    pale = [bar.get_alpha() is not None for bar in figure.axes[0].patches]
    assert pale == [True] * 2 + [False] * 8 and figure.get_suptitle().endswith("; pale: bins with fewer than 10 rows (2)")
    (legend,) = figure.legends
    assert not [axes for axes in figure.axes if legend.get_window_extent().overlaps(axes.get_window_extent())]


def test_a_score_that_hardly_changes_is_drawn_flat(drawn):
    figure = drawn(plots.learning_curves, curves(3, 0.001), 1)
    low, high = figure.axes[1].get_ylim()
    assert high - low >= 0.0999
    figure = drawn(plots.learning_curves, curves(3, 0.001), 1, intervals={"val_accuracy": ENDS})
    low, high = figure.axes[1].get_ylim()
    assert low < 0.7 and high > 0.9 and "95 % intervals over the validation rows" in figure.get_suptitle()


@pytest.mark.parametrize("wanted", [[5.0, 5.0, 5.0], [0.0, 10.0, 20.0], [3.0, 1.0, 2.0], [7.0]])
def test_apart_keeps_the_order_and_moves_no_more_than_it_must(wanted):
    found = labelling.apart(np.array(wanted), 2.0)
    assert np.argsort(found, kind="stable").tolist() == np.argsort(wanted, kind="stable").tolist()
    assert (np.diff(np.sort(found)) >= 2 - 1e-9).all() and found.mean() == pytest.approx(np.mean(wanted))


def test_points_all_at_one_place_have_names_that_can_be_read():
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    axes.scatter([1] * 6, [1] * 6, s=200)
    labelling.name_points(axes, [Named(1, 1, f"name {number}", radius=7) for number in range(6)])
    assert overlaps(figure) == []

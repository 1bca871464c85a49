"""Pictures of probabilities and guarantees show what they were given, and bear the odd cases."""

import numpy as np
import pytest
from pictures import BINS, CURVES, DRAW, GUARANTEES

from halfbert.output import calibration_plots


def test_reliability_draws_the_bins_that_have_rows(figures, tmp_path):
    DRAW["reliability"](tmp_path / "picture.png")
    upper, other, lower, _ = figures[0].axes
    # Confidences 0.6 (right), 0.7 (wrong) and 0.9 (right) fall into three of the fifteen bins.
    assert [bar.get_height() for bar in upper.patches] == [1, 0, 1]
    assert [bar.get_height() for bar in lower.patches] == [1, 1, 1]
    centres = [bar.get_x() + bar.get_width() / 2 for bar in upper.patches]
    assert centres == pytest.approx([8.5 / 15, 10.5 / 15, 13.5 / 15])
    assert [axes.get_title(loc="left") for axes in (upper, other)] == ["network", "calibrated"] and len(other.patches) == 1
    assert figures[0].get_suptitle() == (
        "Reliability: expected calibration error network 0.400, calibrated 0.400\n"
        "3 predictions; pale: bins with fewer than 10 rows (4)"
    )


def test_risk_coverage_draws_a_panel_for_each_risk_and_every_guarantee_that_was_given(figures, tmp_path):
    DRAW["risk_coverage"](tmp_path / "picture.png")
    first, second = figures[0].axes
    assert list(first.get_lines()[0].get_ydata()) == [0.0, 0.04, 0.08, 0.2]
    points = [(line.get_xdata()[0], line.get_ydata()[0]) for line in first.get_lines() if line.get_marker() == "o"]
    assert points == [(0.4, 0.03), (0.7, 0.12)]
    assert [text.get_text() for text in first.texts] == ["at most 5%, found 3.0%", "at most 10%, found 12.0%"]
    assert len(second.get_lines()) == 2 and not second.texts  # one pale, one of rows enough
    assert figures[0].get_suptitle().startswith("Error against share answered: 1 of 2 guarantees held on the test\n")


def test_no_guarantee_is_said(drawn):
    figure = drawn(calibration_plots.risk_coverage, {"error": CURVES["false-negative"]}, GUARANTEES[2:])
    assert figure.get_suptitle().startswith("Error against share answered: no guarantee could be given\n")


@pytest.mark.parametrize(
    ("draw", "numbers", "message"),
    [
        (calibration_plots.reliability, ({"network": []}, "multiclass"), "no bin has rows"),
        (calibration_plots.reliability, ({"network": BINS, "calibrated": []}, "multiclass"), "no bin has rows"),
        (calibration_plots.risk_coverage, ({}, []), "expected as many errors as shares"),
        (calibration_plots.risk_coverage, ({"error": (np.ones(2), np.ones(3))}, []), "expected as many errors as shares"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(draw, numbers, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        draw(*numbers, tmp_path / "picture.png")
    assert list(tmp_path.iterdir()) == []

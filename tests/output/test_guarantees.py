"""What a report says of calibration and guarantees."""

from halfbert.output import guarantees
from halfbert.output.record import CalibrationReport, Guarantee
from halfbert.scoring.reliability import Quality

REPORT = CalibrationReport(
    rows=1000,
    temperature=1.25,
    raw=Quality(0.05, 0.4, 0.2),
    calibrated=Quality(0.01, 0.3, 0.15),
    promises=[
        Guarantee("error", 0.01, None, None, "cannot be guaranteed by 100 validation rows; 299 are the fewest that can"),
        Guarantee("error", 0.05, 0.612, 0.031),
        Guarantee("error", 0.1, 0.0, None),
    ],
)


def lines_of(report):
    return [" ".join(line.split()) for line in guarantees.lines(report)]


def test_the_report_has_the_scores_before_and_after_and_what_each_guarantee_came_to():
    assert lines_of(REPORT) == [
        "probabilities (temperature 1.250, of 1,000 validation rows) network calibrated",
        "expected calibration error 0.0500 0.0100",
        "log loss (nats) 0.4000 0.3000",
        "Brier score 0.2000 0.1500",
        "",
        "wrong answers, guaranteed with 95% certainty on the test answered",
        "at most 1%: cannot be guaranteed by 100 validation rows; 299 are the fewest that can",
        "at most 5% 3.1% 61.2%",
        "at most 10% – 0%",
        "",
    ]
    assert guarantees.lines(None) == []


def test_the_console_has_one_guarantee():
    line = "wrong answers, at most 5% (95% certain): 61.2% of the test rows would be answered, with an error of 3.1%"
    assert guarantees.console_line(REPORT) == f"{line}; the others are for a person"
    none = CalibrationReport(9, 1.0, REPORT.raw, REPORT.raw, [Guarantee("error", 0.05, None, None, "too few rows")])
    assert guarantees.console_line(none) == "wrong answers, at most 5%: too few rows"
    assert guarantees.console_line(None) is None

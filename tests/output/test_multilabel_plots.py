"""The pictures of several labels per text show what they were given, in as many panels as there are labels."""

import re

import numpy as np
import pytest
import sklearn.metrics
from pictures import CONFUSIONS, LABELS, PROBABILITIES, THRESHOLDS, TRUTH, numbers_in, size_of, tick_labels

from halfbert.output import drawing, multilabel_plots
from halfbert.output.multilabel_plots import confusion_grid, cooccurrence, f1_against_threshold, roc_and_precision_recall
from halfbert.scoring import multilabel as multilabel_metrics
from halfbert.scoring.probabilities import sigmoid

PANELS = {"ranking": 2, "f1": 1, "confusion": 1}  # for each label


def many(labels: int, rows: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Ever commoner labels with long names, and probabilities that tell something of them."""
    generator = np.random.default_rng(2)
    truth = (generator.random((rows, labels)) < np.linspace(0.1, 0.4, labels)).astype(int)
    probabilities = sigmoid(generator.normal(size=truth.shape) + truth)
    return truth, probabilities, np.full(labels, 0.4), [f"a_label_of_some_thirty_letters_{n:03}" for n in range(labels)]


def draw_all(truth, probabilities, thresholds, labels, folder):
    scores = multilabel_metrics.multilabel(truth, probabilities, thresholds, labels)
    roc_and_precision_recall(truth, probabilities, thresholds, labels, folder / "ranking.png")
    f1_against_threshold(truth, probabilities, thresholds, labels, folder / "f1.png")
    confusion_grid(scores["confusion"], labels, folder / "confusion.png")
    cooccurrence(truth, labels, folder / "cooccurrence.png")


def panels(figure) -> dict[str, list]:
    """The panels by the label above them, in order."""
    named = {}
    for axes in figure.axes:
        named.setdefault(re.sub(r" \(\d\)$", "", axes.get_title(loc="left")), []).append(axes)
    return named


def curve(axes) -> tuple[list, list]:
    (line,) = (line for line in axes.get_lines() if line.get_color() == drawing.BLUE)
    return list(line.get_xdata()), list(line.get_ydata())


def dot(axes) -> tuple | None:
    dots = [(*line.get_xdata(), *line.get_ydata()) for line in axes.get_lines() if line.get_marker() == "o"]
    return dots[0] if dots else None


def test_roc_and_precision_recall_show_the_curves_and_the_chosen_thresholds(drawn):
    figure = drawn(roc_and_precision_recall, TRUTH, PROBABILITIES, THRESHOLDS, LABELS)
    by_label = panels(figure)
    assert list(by_label) == LABELS
    roc, precision_recall = by_label["cat"]
    # Falling: 0.9 (cat), 0.4 (none), 0.3 (cat), 0.1 (none). The threshold answers the first three.
    assert curve(roc) == ([0, 0, 0.5, 0.5, 1], [0, 0.5, 0.5, 1, 1])
    assert dot(roc) == (0.5, 1)
    recall, precision = curve(precision_recall)
    assert recall == [1, 1, 0.5, 0.5, 0] and precision == pytest.approx([1 / 2, 2 / 3, 1 / 2, 1, 1])
    assert dot(precision_recall) == (1, pytest.approx(2 / 3))
    assert [axes.get_title(loc="right") for axes in (roc, precision_recall)] == ["0.75", "0.83"]
    assert list(precision_recall.get_lines()[0].get_ydata()) == [0.5, 0.5]  # by chance: half of the rows are cats
    assert figure.get_suptitle() == (
        "Ranking: mean ROC AUC 0.875, mean average precision 0.917\n"
        "dot: the chosen threshold; dashed: random guessing; 4 rows; pale: labels with fewer than 10 rows (2)"
    )
    for axes in by_label["fox"]:  # no row has it
        assert len(axes.get_lines()) == 1 and dot(axes) is None and axes.get_title(loc="right") == ""
    # Above all probabilities nothing is predicted, and there is no precision.
    roc, precision_recall = panels(drawn(roc_and_precision_recall, TRUTH, PROBABILITIES, np.full(3, 0.95), LABELS))["cat"]
    assert dot(roc) == (0, 0) and dot(precision_recall) is None


@pytest.mark.parametrize("value", [0, 1])
def test_no_label_with_rows_of_both_kinds_still_makes_a_picture(value, tmp_path, figures):
    draw_all(np.full((4, 3), value), PROBABILITIES, THRESHOLDS, LABELS, tmp_path)
    assert "mean ROC AUC unknown, mean average precision unknown" in figures[0].get_suptitle()
    assert ("macro F1 unknown at the chosen thresholds, unknown at 0.5" in figures[1].get_suptitle()) == (value == 0)
    assert all((axes.get_title(loc="right") == "") == (value == 0) for axes in figures[1].axes)
    assert len(list(tmp_path.iterdir())) == 4


def test_f1_against_threshold_shows_every_threshold_and_the_chosen_one(drawn):
    figure = drawn(f1_against_threshold, TRUTH, PROBABILITIES, THRESHOLDS, LABELS)
    (cat,) = panels(figure)["cat"]
    thresholds, f1 = curve(cat)
    assert thresholds == [0, 0.1, 0.3, 0.4, 0.9, 1]
    # Answered are four rows up to 0.1, then three, two, one, none: 2 * 2 / 6, 2 * 2 / 5, 2 * 1 / 4, 2 * 1 / 3, 0.
    assert f1 == pytest.approx([4 / 6, 4 / 6, 4 / 5, 1 / 2, 2 / 3, 0])
    assert cat.get_lines()[0].get_drawstyle() == "steps-pre"
    assert dot(cat) == (0.3, pytest.approx(4 / 5))
    assert cat.get_title(loc="right") == "0.80"
    assert figure.get_suptitle() == (
        "F1 against threshold: macro F1 0.600 at the chosen thresholds, 0.556 at 0.5\n"
        "dot and number: F1 at the chosen threshold; dashed: 0.5; 4 rows; pale: labels with fewer than 10 rows (2)"
    )
    truth, probabilities, thresholds, labels = many(3)
    for number, axes in enumerate(drawn(f1_against_threshold, truth, probabilities, thresholds, labels).axes):
        xs, ys = curve(axes)
        at, f1 = dot(axes)
        assert f1 == pytest.approx(ys[np.searchsorted(xs, at)])
        assert f1 == pytest.approx(sklearn.metrics.f1_score(truth[:, number], probabilities[:, number] >= 0.4))


def test_confusion_grid_shades_shares_and_writes_counts(drawn):
    figure = drawn(confusion_grid, CONFUSIONS, LABELS)
    by_label = {label: axes for label, (axes,) in panels(figure).items()}
    assert list(by_label) == LABELS
    cat = by_label["cat"]
    assert cat.images[0].get_array().tolist() == [[0.5, 0.5], [0, 1]]
    assert numbers_in(cat) == ["1", "1", "0", "2"]
    assert [text.get_position() for text in cat.texts] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert tick_labels(cat.xaxis) == tick_labels(cat.yaxis) == ["no", "yes"]
    assert cat.get_ylim() == (1.5, -0.5)  # "no" above "yes", as in the record
    assert by_label["fox"].images[0].get_array().mask.tolist() == [[False, False], [True, True]]
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("predicted", "true")
    assert figure.get_suptitle() == (
        "Confusion by label: 4 of 4 labels found, 1 false\nshade: share of the row's two counts; 4 rows; "
        "pale: labels with fewer than 10 rows (2)"
    )


def test_cooccurrence_shows_shares_of_the_row_labels_rows(drawn):
    figure = drawn(cooccurrence, np.array([[1, 1, 0]] * 3 + [[1, 0, 0]] * 5 + [[0, 0, 0]] * 2), LABELS)
    axes = figure.axes[0]
    assert axes.images[0].get_array().filled(-1).tolist() == [[-1, 3 / 8, 0], [1, -1, 0], [-1, -1, -1]]
    assert numbers_in(axes) == ["38", "0", "100", "0"]
    assert tick_labels(axes.yaxis) == ["cat (8)", "dog (3)", "fox (0)"] and tick_labels(axes.xaxis) == LABELS
    assert (
        figure.get_suptitle()
        == "Co-occurrence: 3 of 10 rows with several labels\nnumbers: percent; pale: labels with fewer than 10 rows (2)"
    )
    rare = drawn(cooccurrence, np.array([[1, 0]] * 299 + [[1, 1]]), LABELS[:2])
    assert numbers_in(rare.axes[0]) == ["<1", "100"]  # a share is never rounded to none


def test_of_many_labels_only_the_larger_shares_are_numbered(drawn):
    # Each of 25 labels has 100 rows of its own.
    truth = np.repeat(np.eye(25, dtype=int), 100, axis=0)
    truth[:4, 1] = 1  # 4 of the first label's 100 rows, 4 of the second's 104
    truth[200:220, 3] = 1  # 20 of 100, 20 of 120
    figure = drawn(cooccurrence, truth, many(25)[3])
    assert [(text.get_position(), text.get_text()) for text in figure.axes[0].texts] == [((3, 2), "20"), ((2, 3), "17")]
    assert figure.get_suptitle().endswith("\nnumbers: percent, of 5% and more")


@pytest.mark.parametrize("labels", [1, 2, 6, 10, 28])
def test_every_label_has_its_panels_and_a_name_that_fits(labels, tmp_path, figures):
    truth, probabilities, thresholds, names = many(labels, rows=400)
    names[:3] = ["disappointment", "$x$ and $y_{$", "two\nlines"][:labels]  # text, and never formulas
    draw_all(truth, probabilities, thresholds, names, tmp_path)
    shown = [*names[:2], "two lines"][:labels]
    for (picture, per_label), figure in zip(PANELS.items(), figures, strict=False):
        width, height = size_of(tmp_path / f"{picture}.png")
        assert 600 < width < 1700 and 300 < height < 1900
        assert len(figure.axes) == per_label * labels
        assert len(panels(figure)) == labels  # shortened as they may be, the names differ
        assert list(panels(figure))[:3] == shown
        figure.set_dpi(drawing.STYLE["savefig.dpi"])  # that of the layout
        for axes in figure.axes:
            panel, name = axes.get_window_extent(), axes._left_title.get_window_extent()
            end = axes._right_title.get_window_extent().x0 if axes.get_title(loc="right") else panel.x1 + 1
            assert panel.x0 - 1 <= name.x0 and name.x1 < end
    assert tick_labels(figures[3].axes[0].xaxis)[:3] == shown


def test_of_too_many_labels_the_commonest_are_drawn_and_it_is_said(tmp_path, figures, monkeypatch):
    monkeypatch.setattr(multilabel_plots, "MOST_PANELS", 4)
    truth, probabilities, thresholds, labels = many(10, rows=300)
    draw_all(truth, probabilities, thresholds, labels, tmp_path)
    commonest = sorted(np.argsort(-truth.sum(axis=0), kind="stable")[:4])
    areas, _ = multilabel_metrics.ranking_scores(truth > 0, probabilities)
    for per_label, figure in zip(PANELS.values(), figures, strict=False):
        assert [title[-3:] for title in panels(figure)] == [f"{number:03}" for number in commonest]
        assert len(figure.axes) == 4 * per_label
        assert "300 rows; the 4 most frequent of 10 labels" in figure.get_suptitle()
    assert f"mean ROC AUC {np.mean(areas):.3f}," in figures[0].get_suptitle()  # of all labels, not of those drawn


@pytest.mark.parametrize(
    ("draw", "numbers", "message"),
    [
        *(
            (draw, numbers, "expected rows of 3 labels")
            for draw in (roc_and_precision_recall, f1_against_threshold)
            for numbers in (
                (TRUTH[:0], PROBABILITIES[:0], THRESHOLDS),
                (TRUTH[:, :2], PROBABILITIES, THRESHOLDS),
                (TRUTH, PROBABILITIES[:, :2], THRESHOLDS),
                (TRUTH, PROBABILITIES, THRESHOLDS[:2]),
            )
        ),
        *((cooccurrence, (truth,), "expected rows of 3 labels") for truth in (TRUTH[:0], TRUTH[:, :2])),
        *(
            (confusion_grid, (confusions,), "expected 2 by 2 counts above 0 of 3 labels")
            for confusions in ([[1, 2], [3, 4]], CONFUSIONS[:2], [*CONFUSIONS[:2], [[0, 0], [0, 0]]])
        ),
    ],
)
def test_what_does_not_fit_is_refused(draw, numbers, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        draw(*numbers, LABELS, tmp_path / "picture.png")

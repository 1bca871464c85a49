"""Every picture is written whole or not at all, shows what it was given, and bears the odd cases."""

import itertools

import numpy as np
import pytest
from pictures import EPOCHS, LENGTHS, LOSSES, RATES, numbers_in, size_of, tick_labels

from halfbert.output import plots

LONG_NAMES = [f"a_label_of_some_thirty_letters_{number:02}" for number in range(77)]
NAN = float("nan")


def matrix_of(classes: int, wrong: int = 1) -> list[list[int]]:
    """Nine right answers for each label, and `wrong` that fall on the next one."""
    return (9 * np.eye(classes, dtype=int) + wrong * np.roll(np.eye(classes, dtype=int), 1, axis=1)).tolist()


def test_learning_curves_show_the_losses_and_every_other_score(drawn):
    figure = drawn(plots.learning_curves, [{**entry, "val_roc_auc": 0.95} for entry in EPOCHS], 2)
    assert [numbers_in(axes) for axes in figure.axes] == [["training", "validation"], ["accuracy", "macro F1", "ROC AUC"]]
    losses, scores = (axes.get_lines() for axes in figure.axes)
    assert list(losses[0].get_ydata()) == [0.6, 0.3, 0.1]
    assert list(scores[0].get_ydata()) == [0.80, 0.90, 0.88]
    assert list(losses[-1].get_xdata()) == list(scores[-1].get_xdata()) == [2, 2]
    assert figure.get_suptitle() == "Learning curves: epoch 2 of 3 was kept (dashed line)"


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_epochs_are_visible_and_ticked_in_whole_numbers(count, drawn):
    figure = drawn(plots.learning_curves, [{**EPOCHS[0], "epoch": number} for number in range(1, count + 1)], 1)
    for axes in figure.axes:
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        ticks = [tick for tick in axes.get_xticks() if left <= tick <= right]
        assert ticks and all(tick == int(tick) for tick in ticks)
        for line in axes.get_lines()[:2]:
            assert line.get_marker() == "o" and low < line.get_ydata()[0] < high


@pytest.mark.parametrize("loss", [NAN, float("inf"), None])
def test_a_loss_that_is_not_finite_leaves_a_gap_and_is_named(loss, drawn):
    figure = drawn(
        plots.learning_curves,
        [EPOCHS[0], {**EPOCHS[1], "train_loss": loss, "val_loss": loss, "val_accuracy": None}, EPOCHS[2]],
        1,
    )
    for axes in figure.axes:
        assert np.isnan(axes.get_lines()[0].get_ydata()).tolist() == [False, True, False]
    assert figure.axes[0].get_ylim() == pytest.approx((0, 1.1 * 0.6))
    assert figure.get_suptitle().endswith("a loss is missing or not finite: epoch 2")
    drawn(plots.learning_curves, [dict.fromkeys(("train_loss", "val_loss", "val_accuracy"), loss) | {"epoch": 1}], 1)


@pytest.mark.parametrize(
    ("rates", "momenta", "marker", "shown"),
    [([1e-5, 5e-5, 1e-5], [0.95, 0.85, 0.95], "None", "3 steps"), ([5e-5], [0.9], "o", "1 step")],  # one alone is a dot
)
def test_learning_rate_shows_both_schedules(rates, momenta, marker, shown, drawn):
    figure = drawn(plots.learning_rate, rates, momenta)
    for axes, values in zip(figure.axes, (rates, momenta), strict=True):
        (line,) = axes.get_lines()
        assert list(line.get_ydata()) == values and list(line.get_xdata()) == list(range(1, len(values) + 1))
        assert line.get_marker() == marker
    assert figure.get_suptitle() == f"Learning-rate schedule: {shown}, highest rate 5e-5"


def test_confusion_shades_shares_and_writes_counts(drawn):
    figure = drawn(plots.confusion, [[9000, 1000, 0], [0, 0, 0], [2, 0, 8]], ["no", "maybe", "yes"])
    axes = figure.axes[0]
    assert axes.images[0].get_array().filled(-1).tolist() == [[0.9, 0.1, 0], [-1] * 3, [0.2, 0, 0.8]]
    assert numbers_in(axes) == ["9,000", "1,000", "0", "2", "0", "8"]
    assert tick_labels(axes.xaxis) == ["no", "maybe", "yes"] and tick_labels(axes.yaxis) == ["no", "maybe (no rows)", "yes"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted label", "true label")
    assert figure.get_suptitle() == "Confusion matrix: 9,008 of 10,010 predictions right (90.0%)"


def test_77_long_names_are_all_shown_and_only_the_worst_confusions_numbered(drawn, tmp_path):
    matrix = matrix_of(77)
    matrix[5][70] = 30
    for number in range(10, 40):
        matrix[number][number + 2] = 3  # all equal: numbered one and all, the single rows of matrix_of not
    figure = drawn(plots.confusion, matrix, LONG_NAMES)
    axes = figure.axes[0]
    assert numbers_in(axes) == ["30"] + ["3"] * 30
    assert axes.texts[0].get_position() == (70, 5)
    assert figure.get_suptitle().endswith("\nnumbers: confusions of 3 or more rows")
    width, height = size_of(tmp_path / "picture.png")
    assert 1800 < width < 3000 and 1800 < height < 3000
    for axis, side in ((axes.xaxis, "x"), (axes.yaxis, "y")):
        assert tick_labels(axis) == LONG_NAMES
        boxes = [label.get_window_extent() for label in axis.get_ticklabels()]
        starts = sorted((getattr(box, f"{side}0"), getattr(box, f"{side}1")) for box in boxes)
        assert all(end <= start + 1 for (_, end), (start, _) in itertools.pairwise(starts))  # no name on another


@pytest.mark.parametrize(("classes", "wrong"), [(30, 0), (30, 1), (300, 1)])
def test_no_frequent_confusions_or_hundreds_of_labels_no_numbers(classes, wrong, drawn, tmp_path):
    figure = drawn(plots.confusion, matrix_of(classes, wrong), [str(number) for number in range(classes)])
    assert numbers_in(figure.axes[0]) == [] and "numbers" not in figure.get_suptitle()
    assert max(size_of(tmp_path / "picture.png")) < 3000
    assert [name.split()[0] for name in tick_labels(figure.axes[0].yaxis)[:2]] == (["0", "1"] if classes == 30 else ["0", "2"])


def test_labels_are_text_and_never_formulas(drawn):
    figure = drawn(plots.confusion, matrix_of(3), ["$x$ and $y_{$", "two\nlines", "x" * 80])
    assert tick_labels(figure.axes[0].yaxis) == ["$x$ and $y_{$", "two lines", f"{'x' * 24}…{'x' * 24}"]


@pytest.mark.parametrize(
    ("lengths", "maxlen", "end", "shown"),  # the end of the axis is below that
    [
        (LENGTHS, 8, 20, "maxlen 8 truncates 28.6% of 7 texts\nmedian 6 tokens, longest 12"),
        (LENGTHS, 512, 20, "maxlen 512 truncates 0% of 7 texts\nmedian 6 tokens, longest 12"),  # which takes no room
        (np.full(5, 7), 7, 20, "truncates 0% of"),
        (np.array([3]), 2, 20, "truncates 100% of 1 text\n"),
        (np.arange(2, 3000), 256, 3100, "truncates 91.5% of"),
        (np.arange(2, 3000), 4, 3100, "truncates 99.9% of"),
        (np.r_[np.full(500, 14), 15, 16, 30_000], 64, 100, "longest 30,000; the last bar holds all above"),
        (np.r_[np.full(500, 14), 30_000], 16, 40, "truncates 0.2% of"),
        (np.r_[np.full(5000, 14), 30_000], 16, 40, "truncates <0.1% of"),
        (np.r_[np.full(5000, 14), 3], 13, 40, "truncates >99.9% of"),
        (np.r_[np.full(500, 14), 600, 30_000], 512, 700, "the last bar holds all above"),
    ],
)
def test_text_lengths_count_every_text_on_its_side_of_the_cut(lengths, maxlen, end, shown, drawn):
    cut = lengths > maxlen
    figure = drawn(plots.text_lengths, lengths, maxlen, float(cut.mean()))
    axes = figure.axes[0]
    bars = {bars.get_label(): sum(bar.get_height() for bar in bars) for bars in axes.containers}
    expected = {"not truncated": int((~cut).sum()), f"truncated to {maxlen} tokens": int(cut.sum())}
    assert bars == {label: count for label, count in expected.items() if count}
    assert [list(line.get_xdata()) for line in axes.get_lines()] == ([[maxlen + 0.5] * 2] if maxlen < end else [])
    assert 1 <= len(axes.patches) < 120 and axes.get_xlim()[1] < end
    assert shown in figure.get_suptitle()


@pytest.mark.parametrize(
    ("way", "verb", "label"),
    [
        ("head-tail", "leaves head and tail of", "head and tail, 8 tokens"),
        ("windows", "divides", "several windows of 8 tokens"),
    ],
)
def test_text_lengths_say_what_becomes_of_long_texts(way, verb, label, drawn):
    figure = drawn(plots.text_lengths, LENGTHS, 8, 2 / 7, way=way)
    assert f"maxlen 8 {verb} 28.6% of 7 texts" in figure.get_suptitle()
    assert label in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_learning_rate_finder_marks_the_suggestion_and_no_explosion_flattens_the_rest(drawn):
    losses = np.array([*LOSSES[:47], 900.0, np.inf, np.nan])
    figure = drawn(plots.learning_rate_finder, RATES, losses, 3e-5)
    axes = figure.axes[0]
    assert axes.get_xscale() == "log"
    assert list(axes.get_lines()[1].get_xdata()) == [3e-5, 3e-5]
    assert figure.get_suptitle() == "Learning-rate finder: 3e-5 is suggested (dashed line)"
    low, high = axes.get_ylim()
    assert low < LOSSES[46] and 0.7 < high < 2
    assert np.isinf(losses[48])  # the caller's array is as it was
    figure = drawn(plots.learning_rate_finder, RATES, LOSSES, None)
    assert len(figure.axes[0].get_lines()) == 1
    assert figure.get_suptitle() == "Learning-rate finder: no rate is suggested"


@pytest.mark.parametrize(
    ("draw", "numbers", "message"),
    [
        (plots.learning_curves, ([], 1), "epoch 1 is not among the 0 epochs"),
        (plots.learning_curves, (EPOCHS, 4), "epoch 4 is not among the 3 epochs"),
        (plots.learning_rate, ([], []), "found 0 and 0"),
        (plots.learning_rate, ([1e-5], []), "found 1 and 0"),
        (plots.confusion, ([[1, 2]], ["a", "b"]), "expected counts above 0 of 2 by 2 labels"),
        (plots.confusion, ([[1, 2], [3, 4], [5, 6]], ["a", "b"]), "expected counts above 0 of 2 by 2 labels"),
        (plots.confusion, ([[0, 0], [0, 0]], ["a", "b"]), "expected counts above 0 of 2 by 2 labels"),
        (plots.text_lengths, (np.array([]), 8, 0.0), "no texts"),
        (plots.learning_rate_finder, (RATES, LOSSES[:-1], None), "expected as many rates as losses, some finite"),
        (plots.learning_rate_finder, (RATES, [NAN] * 50, None), "expected as many rates as losses, some finite"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(draw, numbers, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        draw(*numbers, tmp_path / "picture.png")
    assert list(tmp_path.iterdir()) == []

"""Every picture is written whole or not at all, shows what it was given, and bears the odd cases."""

import itertools

import numpy as np
import pytest
from pictures import DRAW, EPOCHS, LENGTHS, LOSSES, RATES, size_of, tick_labels, title_of

from halfbert.output import plots

LONG_NAMES = [f"a_label_of_some_thirty_letters_{number:02}" for number in range(77)]


def matrix_of(classes: int, wrong: int = 1) -> list[list[int]]:
    """Nine right answers for each label, and `wrong` that fall on the next one."""
    return (9 * np.eye(classes, dtype=int) + wrong * np.roll(np.eye(classes, dtype=int), 1, axis=1)).tolist()


def numbers_in_cells(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def legend_of(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_learning_curves_show_the_losses_and_every_other_score(tmp_path, figures):
    epochs = [{**entry, "val_roc_auc": 0.95} for entry in EPOCHS]
    plots.learning_curves(epochs, 2, tmp_path / "picture.png")
    losses, scores = figures[0].axes
    assert legend_of(losses) == ["training", "validation"]
    assert legend_of(scores) == ["accuracy", "macro F1", "ROC AUC"]
    assert list(losses.get_lines()[0].get_ydata()) == [0.6, 0.3, 0.1]
    assert list(scores.get_lines()[0].get_ydata()) == [0.80, 0.90, 0.88]
    for axes in (losses, scores):
        assert list(axes.get_lines()[-1].get_xdata()) == [2, 2]
    assert title_of(figures[0]) == "Learning curves: epoch 2 of 3 was kept (dashed line)"


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_epochs_are_ticked_in_whole_numbers(count, tmp_path, figures):
    epochs = [{**EPOCHS[0], "epoch": number} for number in range(1, count + 1)]
    plots.learning_curves(epochs, 1, tmp_path / "picture.png")
    axes = figures[0].axes[0]
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert ticks and all(tick == int(tick) for tick in ticks)


def test_one_epoch_is_visible(tmp_path, figures):
    plots.learning_curves(EPOCHS[:1], 1, tmp_path / "picture.png")
    for axes in figures[0].axes:
        low, high = axes.get_ylim()
        for line in axes.get_lines()[:2]:
            assert line.get_marker() == "o" and low < line.get_ydata()[0] < high


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), None])
def test_a_loss_that_is_not_finite_leaves_a_gap_and_is_named(loss, tmp_path, figures):
    epochs = [EPOCHS[0], {**EPOCHS[1], "train_loss": loss, "val_loss": loss, "val_accuracy": None}, EPOCHS[2]]
    plots.learning_curves(epochs, 1, tmp_path / "picture.png")
    losses, scores = figures[0].axes
    assert np.isnan(losses.get_lines()[0].get_ydata()).tolist() == [False, True, False]
    assert np.isnan(scores.get_lines()[0].get_ydata()).tolist() == [False, True, False]
    assert losses.get_ylim() == pytest.approx((0, 1.1 * 0.6))
    assert title_of(figures[0]).endswith("a loss is missing or not finite: epoch 2")


def test_no_finite_value_at_all_still_makes_a_picture(tmp_path):
    epochs = [{"epoch": 1, "train_loss": float("nan"), "val_loss": float("nan"), "val_accuracy": float("nan")}]
    plots.learning_curves(epochs, 1, tmp_path / "picture.png")
    size_of(tmp_path / "picture.png")


def test_learning_rate_shows_both_schedules(tmp_path, figures):
    DRAW["learning_rate"](tmp_path / "picture.png")
    rates, momenta = figures[0].axes
    assert list(rates.get_lines()[0].get_ydata()) == [1e-5, 5e-5, 1e-5]
    assert list(momenta.get_lines()[0].get_ydata()) == [0.95, 0.85, 0.95]
    assert list(rates.get_lines()[0].get_xdata()) == [1, 2, 3]
    assert title_of(figures[0]) == "Learning-rate schedule: 3 steps, highest rate 5e-5"


def test_a_single_step_is_visible(tmp_path, figures):
    plots.learning_rate([5e-5], [0.9], tmp_path / "picture.png")
    assert all(axes.get_lines()[0].get_marker() == "o" for axes in figures[0].axes)
    assert title_of(figures[0]) == "Learning-rate schedule: 1 step, highest rate 5e-5"


def test_confusion_shades_shares_and_writes_counts(tmp_path, figures):
    plots.confusion([[9000, 1000], [2, 8]], ["no", "yes"], tmp_path / "picture.png")
    axes = figures[0].axes[0]
    assert axes.images[0].get_array().tolist() == [[0.9, 0.1], [0.2, 0.8]]
    assert numbers_in_cells(figures[0]) == ["9,000", "1,000", "2", "8"]
    assert tick_labels(axes.xaxis) == tick_labels(axes.yaxis) == ["no", "yes"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted label", "true label")
    assert title_of(figures[0]) == "Confusion matrix: 9,008 of 10,010 predictions right (90.0%)"


def test_a_label_without_rows_is_said_and_not_shaded(tmp_path, figures):
    plots.confusion([[3, 1, 0], [0, 0, 0], [0, 1, 4]], ["a", "b", "c"], tmp_path / "picture.png")
    axes = figures[0].axes[0]
    assert tick_labels(axes.yaxis) == ["a", "b (no rows)", "c"]
    assert tick_labels(axes.xaxis) == ["a", "b", "c"]
    assert axes.images[0].get_array().mask.tolist() == [[False] * 3, [True] * 3, [False] * 3]
    assert numbers_in_cells(figures[0]) == ["3", "1", "0", "0", "1", "4"]


def test_77_long_names_are_all_shown_and_only_the_worst_confusions_numbered(tmp_path, figures):
    matrix = matrix_of(77)
    matrix[5][70] = 30
    for number in range(10, 40):
        matrix[number][number + 2] = 3  # all equal: numbered one and all, the single rows of matrix_of not
    plots.confusion(matrix, LONG_NAMES, tmp_path / "picture.png")
    axes = figures[0].axes[0]
    assert tick_labels(axes.xaxis) == tick_labels(axes.yaxis) == LONG_NAMES
    assert numbers_in_cells(figures[0]) == ["30"] + ["3"] * 30
    assert axes.texts[0].get_position() == (70, 5)
    assert title_of(figures[0]).endswith("\nnumbers: confusions of 3 rows or more")
    width, height = size_of(tmp_path / "picture.png")
    assert 1800 < width < 3000 and 1800 < height < 3000


def test_names_do_not_overlap(tmp_path, figures):
    plots.confusion(matrix_of(77), LONG_NAMES, tmp_path / "picture.png")
    axes = figures[0].axes[0]
    for axis, side in ((axes.xaxis, "x"), (axes.yaxis, "y")):
        boxes = [label.get_window_extent() for label in axis.get_ticklabels()]
        starts = sorted((getattr(box, f"{side}0"), getattr(box, f"{side}1")) for box in boxes)
        assert all(end <= start + 1 for (_, end), (start, _) in itertools.pairwise(starts))


@pytest.mark.parametrize("wrong", [0, 1])
def test_no_frequent_confusions_no_numbers(wrong, tmp_path, figures):
    plots.confusion(matrix_of(30, wrong), LONG_NAMES[:30], tmp_path / "picture.png")
    assert numbers_in_cells(figures[0]) == []
    assert "numbers" not in title_of(figures[0])


def test_hundreds_of_labels_stay_within_bounds(tmp_path, figures):
    plots.confusion(matrix_of(300), [str(number) for number in range(300)], tmp_path / "picture.png")
    assert max(size_of(tmp_path / "picture.png")) < 3000
    assert tick_labels(figures[0].axes[0].yaxis)[:3] == ["0", "2", "4"]
    assert numbers_in_cells(figures[0]) == []


def test_labels_are_text_and_never_formulas(tmp_path, figures):
    names = ["$x$ and $y_{$", "two\nlines", "x" * 80]
    plots.confusion(matrix_of(3), names, tmp_path / "picture.png")
    shown = tick_labels(figures[0].axes[0].yaxis)
    assert shown == ["$x$ and $y_{$", "two lines", f"{'x' * 24}…{'x' * 24}"]
    size_of(tmp_path / "picture.png")


def test_reliability_draws_the_bins_that_have_rows(tmp_path, figures):
    DRAW["reliability"](tmp_path / "picture.png")
    upper, lower = figures[0].axes
    # Confidences 0.6 (right), 0.7 (wrong) and 0.9 (right) fall into three of the fifteen bins.
    assert [bar.get_height() for bar in upper.patches] == [1, 0, 1]
    assert [bar.get_height() for bar in lower.patches] == [1, 1, 1]
    centres = [bar.get_x() + bar.get_width() / 2 for bar in upper.patches]
    assert centres == pytest.approx([8.5 / 15, 10.5 / 15, 13.5 / 15])
    assert title_of(figures[0]) == (
        "Reliability: accuracy 66.7%, mean confidence 73.3%\nexpected calibration error 0.200 over 3 rows"
    )


def bars_by_colour(figure) -> dict[str, float]:
    return {bars.get_label(): sum(bar.get_height() for bar in bars) for bars in figure.axes[0].containers}


@pytest.mark.parametrize(
    ("lengths", "maxlen"),
    [
        (LENGTHS, 8),
        (np.full(5, 7), 7),
        (np.array([3]), 2),
        (np.arange(2, 3000), 256),
        (np.arange(2, 3000), 4),
        (np.r_[np.full(500, 14), 15, 16, 30_000], 64),
        (np.r_[np.full(500, 14), 600, 30_000], 512),
    ],
)
def test_text_lengths_count_every_text_on_its_side_of_the_cut(lengths, maxlen, tmp_path, figures):
    cut = lengths > maxlen
    plots.text_lengths(lengths, maxlen, float(cut.mean()), tmp_path / "picture.png")
    expected = {"not truncated": int((~cut).sum()), f"truncated to {maxlen} tokens": int(cut.sum())}
    assert bars_by_colour(figures[0]) == {label: count for label, count in expected.items() if count}
    assert list(figures[0].axes[0].get_lines()[0].get_xdata()) == [maxlen + 0.5] * 2
    assert 1 <= len(figures[0].axes[0].patches) < 120


def test_one_very_long_text_squeezes_no_others(tmp_path, figures):
    plots.text_lengths(np.r_[np.full(500, 14), 30_000], 16, 1 / 501, tmp_path / "picture.png")
    assert figures[0].axes[0].get_xlim()[1] < 40
    assert "longest 30,000; the last bar holds all above" in title_of(figures[0])


def test_a_maxlen_far_beyond_all_texts_takes_no_room(tmp_path, figures):
    plots.text_lengths(LENGTHS, 512, 0.0, tmp_path / "picture.png")
    assert figures[0].axes[0].get_xlim()[1] < 20
    assert bars_by_colour(figures[0]) == {"not truncated": 7}
    assert title_of(figures[0]) == "Text lengths: maxlen 512 truncates 0% of 7 texts\nmedian 6 tokens, longest 12"


@pytest.mark.parametrize(
    ("share", "shown"), [(0.0, "0%"), (0.0001, "<0.1%"), (0.25, "25.0%"), (0.99999, ">99.9%"), (1.0, "100%")]
)
def test_percentages_do_not_round_to_none_or_all(share, shown, tmp_path, figures):
    plots.text_lengths(LENGTHS, 8, share, tmp_path / "picture.png")
    assert f"truncates {shown} of" in title_of(figures[0])


def test_learning_rate_finder_marks_the_suggestion(tmp_path, figures):
    DRAW["learning_rate_finder"](tmp_path / "picture.png")
    axes = figures[0].axes[0]
    assert axes.get_xscale() == "log"
    assert list(axes.get_lines()[1].get_xdata()) == [3e-5, 3e-5]
    assert title_of(figures[0]) == "Learning-rate finder: 3e-5 is suggested (dashed line)"


def test_learning_rate_finder_without_a_suggestion(tmp_path, figures):
    plots.learning_rate_finder(RATES, LOSSES, None, tmp_path / "picture.png")
    assert len(figures[0].axes[0].get_lines()) == 1
    assert title_of(figures[0]) == "Learning-rate finder: no rate is suggested"


def test_an_explosion_does_not_flatten_the_rest(tmp_path, figures):
    losses = np.array([*LOSSES[:47], 900.0, np.inf, np.nan])
    plots.learning_rate_finder(RATES, losses, 3e-5, tmp_path / "picture.png")
    low, high = figures[0].axes[0].get_ylim()
    assert low < LOSSES[46] and 0.7 < high < 2
    assert np.isinf(losses[48])  # the caller's array is as it was


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
        (plots.reliability, ([], 0.0), "no bin has rows"),
        (plots.text_lengths, (np.array([]), 8, 0.0), "no texts"),
        (plots.learning_rate_finder, (RATES, LOSSES[:-1], None), "expected as many rates as losses, some finite"),
        (plots.learning_rate_finder, (RATES, [float("nan")] * 50, None), "expected as many rates as losses, some finite"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(draw, numbers, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        draw(*numbers, tmp_path / "picture.png")
    assert list(tmp_path.iterdir()) == []

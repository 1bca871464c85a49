"""Pictures of a comparison name every contestant, and no name covers anything, however alike the contestants are."""

import itertools
from dataclasses import replace

import pytest
from pictures import numbers_in, overlaps, tick_labels
from support import ROOT

from halfbert.comparison import plots, rule
from halfbert.comparison import record as records

KEYS = ("tfidf", "static", "student", "distilbert", "bert")
NAMES = ["TF-IDF", "static embeddings", "student", "DistilBERT", "BERT"]


@pytest.fixture(params=[0.0, 0.001, 0.05])
def crowded(request):
    """Five contestants whose scores, and speeds, are so much apart."""
    record, apart = records.read(ROOT / "results" / "published" / "compare" / "banking77"), request.param
    made = record.contestants[-1]
    contestants = [
        replace(
            made,
            name=key,
            scores={
                name: replace(score, score=(at := 0.7 + apart * number), low=at - 0.02, high=at + 0.02)
                for name, score in made.scores.items()
            },
            speeds=[replace(one, texts_per_second=100 / (1 + apart * number)) for one in made.speeds],
        )
        for number, key in enumerate(KEYS)
    ]
    pairs = itertools.combinations(KEYS, 2)
    comparisons = [replace(record.comparisons[0], small=small, large=large) for small, large in pairs]
    lengths = [replace(row, right={key: 0.9 - apart * number for number, key in enumerate(KEYS)}) for row in record.lengths]
    curve = [records.NamedPoint(rows, 0.8 - apart * number, key) for number, key in enumerate(KEYS) for rows in (100, 200, 400)]
    per_label = [replace(row, rows=number, f1=dict.fromkeys(KEYS, 0.5)) for number, row in enumerate(record.per_label)]
    changes = {"contestants": contestants, "comparisons": comparisons, "lengths": lengths, "learning_curve": curve}
    return replace(record, **changes, per_label=per_label)


def test_every_contestant_is_named_and_nothing_is_covered(crowded, tmp_path, figures):
    plots.draw(crowded, tmp_path)
    assert [file.name for file in sorted(tmp_path.iterdir())] == sorted(
        (plots.QUALITY, plots.SPEED, plots.LABELS, plots.LENGTHS, plots.CURVE)
    )
    quality, speed, labels, lengths, curve = (figure.axes[0] for figure in figures)
    assert tick_labels(quality.yaxis) == NAMES[-2::-1]
    assert all(sorted(numbers_in(axes)) == sorted(NAMES) for axes in (speed, lengths, curve))
    assert [problem for figure in figures for problem in overlaps(figure)] == []
    worst = crowded.losses(*rule.chief_pair(crowded))[: plots.MOST_LABELS]
    assert [bar.get_alpha() < 1 for bar in labels.patches] == [row.rows < 10 for row, _ in worst[::-1]]
    assert "pale: labels with fewer than 10 rows (" in labels.figure.get_suptitle()
    for axes in (speed, lengths, curve):
        low, high = axes.get_ylim()
        assert high - low >= 0.0999  # so that a difference of nothing does not fill the picture


def test_one_contestant_alone_has_no_difference_to_draw(crowded, tmp_path):
    alone = replace(crowded, contestants=crowded.contestants[:1], comparisons=[], per_label=[])
    plots.draw(alone, tmp_path)
    assert not (tmp_path / plots.QUALITY).exists() and (tmp_path / plots.LENGTHS).exists()

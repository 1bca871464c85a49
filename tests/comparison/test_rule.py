"""The rule of the verdict: planted cases in numbers and in answers, and what must never be picked."""

from dataclasses import replace

import numpy as np
import pytest

from halfbert.comparison import judging, rule, wording
from halfbert.comparison.record import Contestant, Data, McNemar, Pairing, Record, Score, Speed
from halfbert.output.record import DataFile, Leaks, RowCounts
from halfbert.scoring.intervals import Difference
from halfbert.system.machine import Environment

FILE = DataFile(role="train", name="things.csv", sha256="0" * 64, rows=1)
RATES = {"tfidf": 20_000, "static": 15_000, "student": 900, "distilbert": 1000, "cascade": 500, "bert": 300}


def difference(value, low, high, rows=1000, first=0.9):
    return Difference(first, first - value, value, low, high, 0.95, rows, 1, 2000)


def recorded(scores, comparisons, margin=0.02, rates=RATES, task="multiclass"):
    """A record of contestants with these scores; `rates` without one of them: nothing was timed."""

    def contestant(name, score):
        speeds = [Speed("onnx", rates[name], 0.01, 0.1, None, 10_000_000)] if name in rates else []
        chief = Score(score, score - 0.02, score + 0.02, [score])
        engine = speeds[0].engine if speeds else None
        return Contestant(name, None, 800, {"macro_f1": chief}, 10, 20_000_000, [1.0], speeds, engine, None, [])

    return Record(
        task=task,
        options={"margin": margin},
        data=Data([FILE], RowCounts(800, 100, 400), ["a", "b"], 0, Leaks()),
        notes=[],
        contestants=[contestant(*each) for each in scores.items()],
        comparisons=comparisons,
        teaching=None,
        per_label=[],
        lengths=[],
        environment=Environment([], None, {}, {}, "cpu", 1, "float32", 0),
    )


def compared(scores, reach, rows=1000, **more):
    """A record whose intervals reach so far to both sides; `reach` is one number, or one by pair of names."""
    names, pairs = list(scores), []
    for number, small in enumerate(names):
        for large in names[number + 1 :]:
            gap, half = scores[small] - scores[large], reach.get((small, large), 0.01) if isinstance(reach, dict) else reach
            found = difference(gap, gap - half, gap + half, rows, scores[small])
            pairs.append(Pairing(small, large, found, {}, {}, McNemar(0, 0, 1.0), 1.0))
    return recorded(scores, pairs, **more)


@pytest.mark.parametrize(
    ("found", "margin", "word", "rows"),
    [
        (difference(-0.003, -0.01, 0.004), 0.02, rule.GOOD, None),
        (difference(0.02, 0.01, 0.03), 0.0, rule.GOOD, None),
        (difference(-0.03, -0.05, -0.021), 0.02, rule.WEAK, None),
        (difference(-0.005, -0.02, 0.01), 0.02, rule.OPEN, 1),  # the interval must lie entirely above, its end included
        (difference(-0.03, -0.06, -0.015, rows=400), 0.02, rule.OPEN, 500),  # from below: 0.015 must shrink to 0.01
        (difference(-0.02, -0.03, 0.0), 0.02, rule.OPEN, None),
        (difference(-0.0201, -0.03, 0.0), 0.02, rule.OPEN, None),  # 40,000 times the rows
        (difference(0.0, 0.0, 0.0), 0.0, rule.OPEN, None),  # equal answers and no margin
    ],
)
def test_an_interval_is_judged_and_what_is_open_needs_so_many_more_rows(found, margin, word, rows):
    assert rule.judge(found, margin) == word
    assert word != rule.OPEN or rule.more_rows(found, margin) == rows


@pytest.mark.parametrize(
    ("scores", "reach", "headline", "found", "rival"),
    [
        # A clear win: nothing is lost, and the rows show it.
        ({"tfidf": 0.7, "distilbert": 0.9, "bert": 0.9}, 0.01, "Ship DistilBERT", rule.GOOD, "bert"),
        ({"tfidf": 0.9, "distilbert": 0.9, "bert": 0.905}, 0.01, "Ship TF-IDF", rule.GOOD, "bert"),
        # A clear loss.
        ({"tfidf": 0.7, "distilbert": 0.8, "bert": 0.9}, 0.01, "BERT is worth its cost", rule.WORTH, "distilbert"),
        ({"tfidf": 0.7, "static": 0.75, "distilbert": 0.9}, 0.01, "DistilBERT is worth its cost", rule.WORTH, "static"),
        # No difference with few rows: the intervals are wide. 0.04 must shrink to 0.019 and so on.
        (
            {"distilbert": 0.857, "bert": 0.858},
            0.04,
            "No difference found: take DistilBERT, or test about 3,400 more rows to be sure",
            rule.NO_DIFFERENCE,
            "bert",
        ),
        # The larger one scored lower, and few rows: it is not taken because they leave it open.
        (
            {"tfidf": 0.6, "distilbert": 0.796, "bert": 0.771},
            0.06,
            "No difference found: take DistilBERT, or test about 780 more rows to be sure",
            rule.NO_DIFFERENCE,
            "bert",
        ),
        # No difference with many rows: shown.
        ({"tfidf": 0.6, "distilbert": 0.8575, "bert": 0.858}, 0.004, "Ship DistilBERT", rule.GOOD, "bert"),
        # A loss is shown, and is probably smaller than the margin; or probably larger; with few rows, and with very many.
        (
            {"distilbert": 0.888, "bert": 0.9},
            0.01,
            "Take DistilBERT, which probably loses less than 0.02, or test about 560 more rows to be sure",
            rule.PROBABLY_GOOD,
            "bert",
        ),
        (
            {"distilbert": 0.87, "bert": 0.9},
            0.02,
            "Take BERT, since DistilBERT probably loses more than 0.02, or test about 3,000 more rows to be sure",
            rule.PROBABLY_WORTH,
            "distilbert",
        ),
        (
            {"distilbert": 0.8801, "bert": 0.9},
            0.002,
            "Take DistilBERT, which probably loses less than 0.02; no realistic number of rows would tell more",
            rule.PROBABLY_GOOD,
            "bert",
        ),
        # What is shown to be good enough goes before what may be, however cheap that is.
        (
            {"tfidf": 0.88, "distilbert": 0.89, "bert": 0.895},
            {("tfidf", "distilbert"): 0.03, ("tfidf", "bert"): 0.03},
            "Ship DistilBERT",
            rule.GOOD,
            "bert",
        ),
        # DistilBERT is too weak, and the cascade good enough at 1.7 times BERT's speed.
        ({"distilbert": 0.85, "cascade": 0.897, "bert": 0.9}, 0.01, "Ship the cascade", rule.GOOD, "bert"),
        # DistilBERT alone is good enough: no cascade is needed.
        ({"distilbert": 0.895, "cascade": 0.897, "bert": 0.9}, 0.01, "Ship DistilBERT", rule.GOOD, "bert"),
        # Of those that may be, the best-scoring one.
        (
            {"tfidf": 0.88, "distilbert": 0.89, "bert": 0.895},
            0.05,
            "No difference found: take DistilBERT, or test about 10,000 more rows to be sure",
            rule.NO_DIFFERENCE,
            "bert",
        ),
    ],
)
def test_planted_cases(scores, reach, headline, found, rival):
    record = compared(scores, reach)
    verdict = rule.verdict(record)
    assert wording.headline(record) == headline and (verdict.found, verdict.rival) == (found, rival)
    assert set(verdict.judged) == set(scores) - {verdict.ship} and rule.chief_pair(record) is not None
    assert "None" not in wording.verdict_line(record)


def test_who_is_faster_is_measured_and_alike_where_the_timings_are():
    scores = {"student": 0.89, "distilbert": 0.893, "bert": 0.9}
    assert rule.verdict(compared(scores, 0.005)).ship == "distilbert"  # as fast as the student, and better
    assert rule.verdict(compared(scores, 0.005, rates={**RATES, "student": 1600})).ship == "student"
    assert rule.verdict(compared(scores, 0.005, rates={})).ship == "distilbert"  # by the order
    # An engine may make the larger one the faster: then the smaller has nothing to be said for it.
    assert rule.verdict(compared(scores, 0.005, rates={**RATES, "bert": 2000})).ship == "bert"
    in_words = wording.rule(compared(scores, 0.005, rates={}))
    assert "not every model was timed: the distilled student, DistilBERT, BERT." in in_words
    assert "less than 1.5 times as many is no faster" in wording.rule(compared(scores, 0.005))


def test_a_cascade_is_judged_as_every_model_is():
    scores = {"distilbert": 0.85, "cascade": 0.897, "bert": 0.9}
    assert rule.verdict(compared(scores, 0.01, rates={})).ship == "cascade"  # by the order
    # It passes on so much that it is no faster than BERT: then it is picked only where it scores higher.
    slow = {**RATES, "cascade": 310}
    found = rule.verdict(compared(scores, 0.01, rates=slow))
    assert found.ship == "bert" and found.judged["cascade"] == rule.Judged(rule.BEATEN, "bert")
    found = rule.verdict(compared({**scores, "cascade": 0.91}, 0.01, rates=slow))
    assert found.ship == "cascade" and found.judged["bert"] == rule.Judged(rule.BEATEN, "cascade")
    record = compared(scores, 0.01)
    record = replace(record, contestants=[replace(each, passed_on=0.125) for each in record.contestants])
    line = "The cascade has DistilBERT answer first and passes on 12.5% of the test rows to BERT."
    assert line in wording.verdict_line(record)
    assert "The cascade has" not in wording.verdict_line(compared(scores, 0.01))


def test_one_contestant_has_no_verdict_and_any_two_have_one():
    only = recorded({"distilbert": 0.8}, [])
    assert rule.verdict(only) is None and rule.chief_pair(only) is None
    assert wording.headline(only) == "No verdict: only DistilBERT has a score"
    assert wording.verdict_line(only).endswith("score. Macro F1: 0.800 (0.780–0.820).")
    stopped = replace(compared({"tfidf": 0.8, "static": 0.81}, 0.005), unfinished=["distilbert", "bert"], folds=5)
    assert wording.verdict_line(stopped).endswith("Not finished, and so not judged: DistilBERT, BERT.")
    assert "tested once, by fits that had not seen it (5 folds)" in wording.rule(stopped)
    assert rule.verdict(compared({"tfidf": 0.8, "static": 0.81}, 0.005)).ship == "static"  # about as fast
    assert rule.verdict(compared({"tfidf": 0.8, "static": 0.81}, 0.005, rates={})).ship == "tfidf"


def test_the_slower_and_lower_scoring_is_never_picked():
    """In any case, however wide its intervals: whoever is picked is not both no faster than another and worse than it."""
    rng, picked = np.random.default_rng(0), set()
    for case in range(3000):
        names = [name for name in rule.RANKS if rng.random() < 0.7]
        if len(names) < 2:
            continue
        digits = int(rng.integers(2, 4))  # with two digits many scores are equal
        scores = {name: round(float(rng.normal(0.85, 0.02)), digits) for name in names}
        rates = {name: RATES[name] * float(rng.lognormal(0, 1)) for name in names} if case % 3 else {}
        pairs = {(one, other): float(rng.exponential(0.02)) for one in names for other in names}
        record = compared(scores, pairs, margin=float(rng.choice([0, 0.01, 0.02, 0.1])), rates=rates)
        found = rule.verdict(record)
        speed = {name: rates.get(name, -rule.RANKS[name]) for name in names}
        for other in set(names) - {found.ship}:
            ahead = scores[other] - scores[found.ship], speed[other] - speed[found.ship]
            assert not (ahead[0] > 0 and ahead[1] >= 0), (scores, speed, found)
        assert "None" not in wording.verdict_line(record)
        picked.add(found.found)
        # With intervals of no width only the margin decides: the fastest that loses no more than it.
        exact = rule.verdict(compared(scores, 0.0, margin=0.0151, rates={}))
        assert scores[exact.ship] > max(scores.values()) - 0.0151
    assert picked == {rule.GOOD, rule.WORTH, rule.NO_DIFFERENCE, rule.PROBABLY_GOOD, rule.PROBABLY_WORTH}


def answers_of(rng, truth, right):
    """One-hot answers, as often right as `right` says."""
    wrong = rng.random(len(truth)) >= right
    return [np.eye(3, dtype=bool)[(truth.argmax(axis=1) + wrong * rng.integers(1, 3, len(truth))) % 3]]


@pytest.mark.parametrize(
    ("rows", "shares", "found", "ship"),
    [
        (3000, {"tfidf": 0.7, "distilbert": 0.93, "bert": 0.9}, rule.GOOD, "distilbert"),
        (3000, {"tfidf": 0.7, "distilbert": 0.8, "bert": 0.9}, rule.WORTH, "bert"),
        (60, {"tfidf": 0.5, "distilbert": 0.9, "bert": 0.9}, rule.NO_DIFFERENCE, None),
        (20000, {"tfidf": 0.6, "distilbert": 0.9, "bert": 0.9}, rule.GOOD, "distilbert"),
    ],
)
def test_planted_answers(rows, shares, found, ship):
    rng = np.random.default_rng(1)
    truth = np.eye(3, dtype=bool)[np.arange(rows) % 3]
    answers = {name: answers_of(rng, truth, right) for name, right in shares.items()}
    scores = {name: judging.score("macro_f1", truth, given[0]) for name, given in answers.items()}
    verdict = rule.verdict(recorded(scores, judging.comparisons("multiclass", truth, answers)))
    assert verdict.found == found and verdict.ship == (ship or max(scores, key=scores.__getitem__)), scores
    assert (verdict.more_rows is not None) == (found == rule.NO_DIFFERENCE)

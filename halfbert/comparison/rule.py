"""The rule by which a comparison picks the model to ship, from its record alone.

Texts a second are those of each model's fastest engine. Where not every model was timed, the order of RANKS stands for them.

1. A model that scores lower than another one and is not faster is never picked (nor one that scores the same and is slower).
2. Each of the rest is judged beside every model that is not faster than it, by the interval of the difference in score (paired
   bootstrap over the test rows). Wholly above -margin: good enough. Wholly below: too weak. Else these rows leave it open.
3. The fastest that is good enough beside all of them is shipped.
4. If there is none, the best-scoring of those that are open is taken, if its own difference is above -margin. That there is no
   difference has not been shown then, and the verdict says so, and how many more rows would show it.
5. Else the best-scoring model is shipped: it is worth its cost if all faster ones are too weak.

A model that must pass beside each of several others needs no correction for their number (Berger 1982, "Multiparameter
Hypothesis Testing and Acceptance Sampling": the intersection-union test).
"""

from dataclasses import dataclass, replace

from halfbert.comparison.record import Contestant, Record
from halfbert.scoring.intervals import Difference

# Contestants from the fastest on; a student is a DistilBERT.
CASCADE = "cascade"  # that DistilBERT, and BERT for the rows that it is not sure of
RANKS = {"tfidf": 0, "static": 1, "student": 2, "distilbert": 2, CASCADE: 3, "bert": 4}
ALIKE = 1.5  # times as many texts a second: quick timings of one and the same model differ by up to a third
MOST_TIMES = 100  # nobody labels that many times the test rows

GOOD, WEAK, OPEN = "good enough", "too weak", "open"  # of one beside another
BEATEN, SLOWER = "beaten", "slower"
WORTH, NO_DIFFERENCE = "worth its cost", "no difference"
PROBABLY_GOOD, PROBABLY_WORTH = "probably good enough", "probably worth its cost"


@dataclass(frozen=True)
class Judged:
    """Why a contestant is not the one to ship.

    Beside a slower one it is WEAK or OPEN. BEATEN: the other one scores higher and is not slower, or the same and is faster.
    SLOWER: it scores higher than the shipped one, and costs more.
    """

    word: str
    beside: str


@dataclass(frozen=True)
class Verdict:
    """Which contestant to ship.

    `found` is GOOD or WORTH, or where more rows could change the verdict NO_DIFFERENCE, PROBABLY_GOOD or PROBABLY_WORTH.
    `rival` is the contestant that the shipped one is chiefly compared with; `judged` has every contestant but the shipped one.
    """

    ship: str
    rival: str
    found: str
    margin: float
    more_rows: int | None  # that would make it certain if the difference stays the same; None: needless, or beyond reach
    judged: dict[str, Judged]


def judge(difference: Difference, margin: float) -> str:
    """Of the first of two contestants, which is not the slower one: GOOD, WEAK, or OPEN where the rows cannot tell."""
    if difference.low > -margin:
        return GOOD
    return WEAK if difference.high < -margin else OPEN


def more_rows(difference: Difference, margin: float) -> int | None:
    """About how many more test rows would decide, if the difference stays as it is: intervals shrink as 1 / sqrt(rows).

    None where it would take more than MOST_TIMES the rows: the difference is about as large as the margin.
    """
    distance = difference.difference + margin
    reach = difference.difference - difference.low if distance > 0 else difference.high - difference.difference
    if distance == 0 or reach > abs(distance) * MOST_TIMES**0.5:
        return None
    return max(1, round(difference.rows * ((reach / distance) ** 2 - 1)))


def difference(record: Record, one: str, other: str) -> Difference | None:
    """The score of one contestant less that of another; None where the record, one of an earlier version, lacks it."""
    pair = record.pairing(one, other)
    if pair is None or pair.small == one:
        return pair.difference if pair else None
    found = pair.difference
    turned = replace(found, first=found.second, second=found.first, difference=-found.difference)
    return replace(turned, low=-found.high, high=-found.low)


def faster(record: Record, one: Contestant, other: Contestant) -> bool:
    """Whether a contestant is faster than another by more than timings differ."""
    if all(each.best_speed for each in record.contestants):
        rates = [each.best_speed.texts_per_second if each.best_speed else 0.0 for each in (one, other)]
        return rates[0] > ALIKE * rates[1]
    return RANKS[one.name] < RANKS[other.name]


def beaten(record: Record, contestant: Contestant) -> str | None:
    """The best-scoring contestant that scores higher and is not slower, or scores the same and is faster; None without one."""
    own, others = record.score(contestant), [other for other in record.contestants if other is not contestant]
    better = [
        other
        for other in others
        if not faster(record, contestant, other)
        and (record.score(other) > own or (record.score(other) == own and faster(record, other, contestant)))
    ]
    return max(better, key=record.score).name if better else None


def verdict(record: Record) -> Verdict | None:
    """The verdict on the contestants of a record; None where there is only one."""
    if len(record.contestants) < 2:
        return None
    # Of those that are left each scores higher than the one before it, and is slower.
    left = sorted((each for each in record.contestants if not beaten(record, each)), key=record.score)
    beside = {each.name: _beside_the_not_faster(record, each) for each in left}
    sure = [name for name, found in beside.items() if found and all(judge(d, record.margin) == GOOD for d in found.values())]
    likely = [name for name, found in beside.items() if found and all(_likely(d, record.margin) for d in found.values())]
    ship = sure[0] if sure else likely[-1] if likely else left[-1].name
    found, rivals = _found(record, ship, beside, bool(sure))
    names = [each.name for each in record.contestants if each.name in (rivals or set(record.scored) - {ship})]
    further = [more_rows(rivals[name], record.margin) for name in rivals] if found not in (GOOD, WORTH) else []
    return Verdict(
        ship=ship,
        # The slowest of those that were spared; of those that were too weak the best.
        rival=max(names, key=record.scored.__getitem__) if found in (WORTH, PROBABLY_WORTH) else names[-1],
        found=found,
        margin=record.margin,
        more_rows=max(filter(None, further)) if further and all(further) else None,
        judged={each.name: _judged(record, each, ship, beside) for each in record.contestants if each.name != ship},
    )


def chief_pair(record: Record) -> tuple[str, str] | None:
    """The shipped contestant and its rival, the faster one first; None where there is only one contestant."""
    found = verdict(record)
    if found is None:
        return None
    first, second = (each.name for each in record.contestants if each.name in (found.ship, found.rival))
    return first, second


def _beside_the_not_faster(record: Record, contestant: Contestant) -> dict[str, Difference]:
    """By name, the differences to the contestants that are not faster."""
    others = [each for each in record.contestants if each is not contestant and not faster(record, each, contestant)]
    return {each.name: found for each in others if (found := difference(record, contestant.name, each.name))}


def _likely(found: Difference, margin: float) -> bool:
    return found.difference > -margin and judge(found, margin) != WEAK


def _found(
    record: Record, ship: str, beside: dict[str, dict[str, Difference]], sure: bool
) -> tuple[str, dict[str, Difference]]:
    """What the verdict says of the shipped one, and by name the differences that it rests on."""
    if sure:
        return GOOD, beside[ship]
    undecided = {name: found for name, found in beside[ship].items() if judge(found, record.margin) == OPEN}
    if undecided:
        shown = any(found.high < 0 for found in undecided.values())
        return (PROBABLY_GOOD if shown else NO_DIFFERENCE), undecided
    cheaper = {name: found for name in beside if name != ship and (found := difference(record, name, ship))}
    undecided = {name: found for name, found in cheaper.items() if judge(found, record.margin) == OPEN}
    return (PROBABLY_WORTH, undecided) if undecided else (WORTH, cheaper)


def _judged(record: Record, contestant: Contestant, ship: str, beside: dict[str, dict[str, Difference]]) -> Judged:
    """Why a contestant is not the one to ship."""
    if better := beaten(record, contestant):
        return Judged(BEATEN, better)
    if record.score(contestant) >= record.scored[ship]:
        return Judged(SLOWER, ship)
    words = {name: judge(found, record.margin) for name, found in beside[contestant.name].items()}
    word = WEAK if WEAK in words.values() else OPEN
    candidates = [name for name, each in words.items() if each == word] or [ship]
    return Judged(word, max(candidates, key=record.scored.__getitem__))

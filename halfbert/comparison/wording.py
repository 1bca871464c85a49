"""The verdict in words: the headline, the reasons for it, the rule."""

from halfbert.comparison import rule as rules
from halfbert.comparison import static
from halfbert.comparison.record import Change, Contestant, Record, ratio
from halfbert.comparison.rule import Judged, Verdict
from halfbert.output.words import counted, model_name, percent, significant
from halfbert.scoring.intervals import Difference


def headline(record: Record) -> str:
    """What to do, in one line."""
    found = rules.verdict(record)
    if found is None:
        return f"No verdict: only {model_name(record.contestants[0].name)} has a score"
    ship, rival = model_name(found.ship), model_name(found.rival)
    if found.found == rules.GOOD:
        return f"Ship {ship}"
    if found.found == rules.WORTH:
        return f"{sentence(ship)} is worth its cost"
    line = {
        rules.NO_DIFFERENCE: f"No difference found: take {ship}",
        rules.PROBABLY_GOOD: f"Take {ship}, which probably loses less than {found.margin:g}",
        rules.PROBABLY_WORTH: f"Take {ship}, since {rival} probably loses more than {found.margin:g}",
    }[found.found]
    more = f", or test about {rough(found.more_rows)} more rows to be sure" if found.more_rows else ""
    return line + (more or "; no realistic number of rows would tell more")


def verdict_line(record: Record) -> str:
    """The headline and the reasons for it, in one paragraph."""
    return f"{headline(record)}. {reasons(record)}"


def reasons(record: Record) -> str:
    """Why the headline says what it says."""
    found = rules.verdict(record)
    if found:
        others = [_of_another(record, name, judged) for name, judged in found.judged.items() if name != found.rival]
        lines = [_of_the_rival(record, found), *others]
    else:
        scores = record.contestants[0].scores.items()
        lines = [
            f"{sentence(record.score_names[key])}: {each.score:.3f} ({each.low:.3f}–{each.high:.3f})." for key, each in scores
        ]
    lines += filter(None, [cascade(record)])
    if record.unfinished:
        lines.append(f"Not finished, and so not judged: {', '.join(map(model_name, record.unfinished))}.")
    return " ".join(lines)


def cascade(record: Record) -> str:
    """What the cascade is made of; empty where there is none."""
    found = next((each.passed_on for each in record.contestants if each.passed_on is not None), None)
    small = model_name("student" if record.options.get("distill") else "distilbert")
    words = f"has {small} answer first and passes on {percent(found or 0.0)} of the test rows to {model_name('bert')}"
    return "" if found is None else f"{sentence(model_name(rules.CASCADE))} {words}."


def rule(record: Record) -> str:
    """How the verdict is reached."""
    limit, order = below(record.margin), ", ".join(model_name(each.name) for each in record.contestants)
    timed = all(each.best_speed for each in record.contestants)
    engine = "fastest engine" if record.timing == "full" else "engine that halfbert.load takes"
    costs = f"by texts a second with the {engine}; less than {rules.ALIKE:g} times as many is no faster"
    costs = costs if timed else f"in this order, as not every model was timed: {order}"
    folds = f" Every row was tested once, by fits that had not seen it ({record.folds} folds)." if record.folds else ""
    return (
        f"Rule: a faster model may lose {record.margin:.3f} of {record.score_name} (--margin). Which is faster: {costs}. A "
        f"model that scores lower than another one and is no faster is never picked. Each of the rest is compared with every "
        f"model that is no faster than it, by the 95 % interval of the difference in {record.score_name}: wholly above {limit} "
        f"it is good enough, wholly below too weak, else these rows cannot tell. The fastest that is good enough beside all of "
        f"them is shipped. If there is none, the best-scoring of those about which the rows cannot tell is taken, if "
        f"its own difference is above {limit}; that no difference was found does not mean that there is none, so the verdict "
        f"says how many more rows would tell. Otherwise the best-scoring model is taken: it is worth its cost if all faster "
        f"ones are too weak. The interval, a paired bootstrap, covers what other test rows could change, for these fits; "
        f"both models answer the same rows, so rows that are hard for both cancel out.{folds}"
    )


def _of_the_rival(record: Record, found: Verdict) -> str:
    """What the comparison with the chief rival says."""
    of_ship = found.found not in (rules.WORTH, rules.PROBABLY_WORTH)
    one, other = (found.ship, found.rival) if of_ship else (found.rival, found.ship)
    difference = rules.difference(record, one, other)
    if difference is None:
        return ""
    name, against, limit = sentence(model_name(one)), model_name(other), below(found.margin)
    words = {
        rules.GOOD: f"The whole interval lies above {limit}, so it is good enough.",
        rules.WORTH: f"The whole interval lies below {limit}, so it loses too much.",
        rules.NO_DIFFERENCE: f"The interval contains 0 and reaches below {limit}: a loss is neither shown nor ruled out.",
        rules.PROBABLY_GOOD: f"It scores lower, and the interval contains {limit}: these rows cannot tell whether by more.",
        rules.PROBABLY_WORTH: f"The interval contains {limit}, so these rows cannot tell whether it is good enough.",
    }
    lines = [
        f"{name} scores {difference.first:.3f} in {record.score_name}, {against} {difference.second:.3f} (difference "
        f"{span(difference)}; paired bootstrap on {counted(difference.rows, 'test row')}, "
        f"{counted(difference.seeds, 'seed')}).",
        f"It {_gain(record.contestant(one), record.contestant(other))}.",
        words[found.found],
        "It even scores higher." if difference.low > 0 else "",
        _more(found),
    ]
    return " ".join(filter(None, lines))


def _more(found: Verdict) -> str:
    if found.found in (rules.GOOD, rules.WORTH):
        return ""
    if found.more_rows is None:
        return "No realistic number of test rows would tell: the difference is about as large as the margin."
    return f"About {rough(found.more_rows)} more test rows would tell, if the difference stays the same."


def _gain(one: Contestant, other: Contestant) -> str:
    """What a contestant costs beside another."""
    size = f"takes {times(one.disk_bytes, other.disk_bytes)} the disk space"
    if not (one.best_speed and other.best_speed):
        return size
    rates = one.best_speed.texts_per_second, other.best_speed.texts_per_second
    return f"answers {times(*rates)} as many texts per second and {size}"


def _of_another(record: Record, name: str, judged: Judged) -> str:
    """Why another contestant was not picked."""
    subject, other = sentence(model_name(name)), model_name(judged.beside)
    own, against = record.scored[name], record.scored[judged.beside]
    if judged.word == rules.BEATEN:
        if own < against:
            slower = rules.faster(record, record.contestant(judged.beside), record.contestant(name))
            return (
                f"{subject} ({own:.3f}) scores lower than {other} ({against:.3f}) and is {'slower' if slower else 'no faster'}."
            )
        return f"{subject} scores as {other} does ({own:.3f}) and is slower."
    if judged.word == rules.SLOWER:
        return f"{subject} ({own:.3f}) scores higher and is slower."
    difference = rules.difference(record, name, judged.beside)
    beside = f" (difference to {other} {span(difference)})" if difference else ""
    verb = "are" if name == static.NAME else "is"
    found = {rules.WEAK: f"{verb} too weak", rules.OPEN: "may or may not be good enough"}[judged.word]
    return f"{subject} {found}{beside}."


def sentence(words: str) -> str:
    """The words with a capital letter first."""
    return words[:1].upper() + words[1:]


def rough(number: int | None) -> str:
    """A number of rows in two significant digits."""
    return "–" if number is None else f"{float(f'{number:.2g}'):,.0f}"


def times(part: float | None, whole: float | None) -> str:
    """How many times the whole the part is."""
    return f"{significant(ratio(part, whole), 2)}×"


def below(margin: float) -> str:
    """The difference that a model may just lose."""
    return signed(-margin) if margin else "0"


def signed(value: float, decimals: int = 3) -> str:
    """A number with its sign, a minus being one."""
    return f"{value:+.{decimals}f}".replace("-", "−")


def interval(change: Change | Difference) -> str:
    """The ends of a difference's interval."""
    return f"{signed(change.low)} to {signed(change.high)}"


def span(change: Change | Difference) -> str:
    """A difference and its interval."""
    return f"{signed(change.difference)}, 95 % interval {interval(change)}"

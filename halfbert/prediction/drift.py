"""What has changed between new rows and those that a predictor keeps summaries of, in words."""

from dataclasses import dataclass

from halfbert.data.phrases import counted
from halfbert.output.words import percent, shortened, significant
from halfbert.scoring.drift import LEVEL, VALIDATION, Comparison, least_visible

SHOWN_LABELS = 8


@dataclass(frozen=True)
class Drift:
    """How new rows differ from those of the `reference`; `rows` of them, a random sample, were compared."""

    reference: str
    reference_rows: int
    rows: int
    labels: list[str]
    comparisons: list[Comparison]

    @property
    def changed(self) -> list[Comparison]:
        """What has changed, aspect by aspect; the labels that are the most certain first."""
        found = [each for each in self.comparisons if each.changed]
        return sorted(found, key=lambda each: 0 if each.label is None else 1 + each.p_value)

    def lines(self) -> list[str]:
        """What has changed, in words, below a line that says what was compared."""
        compared = f"{counted(self.rows, 'row')} beside {self.reference_rows:,} {self.reference}"
        if not self.changed:
            least = percent(least_visible(self.reference_rows, self.rows))
            return [f"drift: no change found ({compared}; what moves less than {least} of the rows may not show)"]
        shown = [each for each in self.changed if each.label is None]
        labels = [each for each in self.changed if each.label is not None]
        lines = [self._line(each) for each in shown + labels[:SHOWN_LABELS]]
        if len(labels) > SHOWN_LABELS:
            lines.append(f"and {counted(len(labels) - SHOWN_LABELS, 'more label')}")
        first = f"drift: rows have changed ({compared}; where nothing has, at most {LEVEL:.0%} of runs say so)"
        return [first, *(f"  {line}" for line in lines)]

    def _line(self, found: Comparison) -> str:
        then = "in validation" if self.reference == VALIDATION else "before"
        if found.aspect in WORDS:
            return _number_line(found, then)
        now, before = percent(found.now[0]), percent(found.before[0])
        if found.label is None:
            return f"texts with characters that the tokenizer does not know: {now}, {before} {then}"
        return f"label {shortened(self.labels[found.label])!r}: {now} of the answers, {before} {then}"


WORDS = {  # by number: what is lower, higher or otherwise, and its unit
    "words": ("texts are shorter", "texts are longer", "the lengths of texts are spread otherwise", " words"),
    "tokens": ("words are in fewer pieces", "words are in more pieces", "words are split otherwise", " tokens a word"),
    "confidence": ("answers are less confident", "answers are more confident", "confidence is spread otherwise", ""),
}
OTHER_LANGUAGE = 1.2  # times as many tokens a word, from which on that is suggested


def _number_line(found: Comparison, then: str) -> str:
    lower, higher, otherwise, unit = WORDS[found.aspect]
    now, before = ([significant(each) for each in quartiles] for quartiles in (found.now, found.before))
    if now[1] == before[1]:
        return f"{otherwise}: half of the rows have {now[0]} to {now[2]}{unit}, {before[0]} to {before[2]} {then}"
    foreign = found.aspect == "tokens" and found.now[1] >= OTHER_LANGUAGE * found.before[1]
    guess = " (another language, names, codes?)" if foreign else ""
    return f"{higher if found.now[1] > found.before[1] else lower}: median {now[1]}{unit}, {before[1]} {then}{guess}"

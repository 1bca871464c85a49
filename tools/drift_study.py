"""How often `--drift` alarms where nothing has changed, and how often where something has.

python -m tools.drift_study --predictors FOLDER --results FOLDER --data FOLDER

FOLDERs hold the predictors and results of the runs in TABLES, as results/published/ names them, and the tables these read. Each
text is answered once; draws of its rows are then compared with the validation rows. Foreign rows are texts of the other
tables, and messages of this machine's programs in three languages. Writes results/published/drift/; a quarter of an hour.
"""

import argparse
import gettext
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from halfbert.data import equality
from halfbert.data.multiclass import read_multiclass
from halfbert.data.multilabel import read_multilabel
from halfbert.data.tables import Data, Reading
from halfbert.models import batching
from halfbert.output import record as records
from halfbert.predictor import engines, summarising
from halfbert.predictor.classifier import Classifier, load
from halfbert.scoring import drift
from halfbert.scoring.drift import Summaries
from halfbert.scoring.review import answered_labels
from halfbert.system import machine, storage
from halfbert.training import tasks

PUBLISHED = machine.PROJECT / "results" / "published" / "drift"
TABLES = {
    "messages": "messages-distilbert-seed0",
    "news": "news-6000-distilbert-seed0",
    "banking77": "banking77-distilbert-seed0",
    "goemotions": "goemotions-distilbert-seed0",
    "imdb": "imdb-distilbert-seed0",
}
SIZES, SIZES_OF_MESSAGES = (50, 200, 1000), (50, 150)  # messages have 232 test rows
DRAWS, DRAWS_OF_CHANGES = 200, 100
SHARES = (1.0, 0.25, 0.1)  # of the rows that are foreign
FOREIGN = 400  # texts of each source
LANGUAGES = {"de": "German", "ru": "Russian"}
CATALOGUES = Path("/usr/share/locale")
MARKS = re.compile(r"[_&%\\][-\w.]*|[{}<>]")  # of accelerators and places for values
SKETCHED = ("messages", "banking77")  # of which outputs and states are compared as well
SKETCH, SKETCHED_ROWS = 16, 700


@dataclass(frozen=True)
class Rows:
    """Answered rows: `described` as `summarising.describe` has it, (R, L) answers and truth, (R,) confidence; sketches."""

    described: np.ndarray
    answers: np.ndarray
    confidence: np.ndarray
    truth: np.ndarray
    sketches: dict[str, np.ndarray] = field(default_factory=dict)

    def take(self, rows: np.ndarray) -> "Rows":
        """Some of them."""
        sketches = {name: sketch[rows] for name, sketch in self.sketches.items()}
        return Rows(self.described[rows], self.answers[rows], self.confidence[rows], self.truth[rows], sketches)

    def and_also(self, others: "Rows") -> "Rows":
        """These rows and the others."""
        described, answers, confidence, truth = (
            np.concatenate([getattr(self, name), getattr(others, name)])
            for name in ("described", "answers", "confidence", "truth")
        )
        sketches = {name: np.concatenate([mine, others.sketches[name]]) for name, mine in self.sketches.items()}
        return Rows(described, answers, confidence, truth, sketches)

    @cached_property
    def summaries(self) -> Summaries:
        """As training and `predict --drift` make them."""
        words, tokens, unknown = self.described.T
        return Summaries.of("rows", words, tokens, self.confidence, self.answers.sum(axis=0), int(unknown.sum()))

    def __len__(self) -> int:
        return len(self.confidence)


def main(argv: list[str]) -> int:
    """Answer, draw, and write the record."""
    parser = argparse.ArgumentParser(prog="python -m tools.drift_study", description=__doc__)
    for name in ("predictors", "results", "data"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    given = parser.parse_args(argv)
    tables = {name: read(name, given.results, given.data) for name in TABLES}
    foreign = {**messages_of_programs(), **{name: some(data.test.texts) for name, data in tables.items()}}
    PUBLISHED.mkdir(parents=True, exist_ok=True)
    for name in given.tables:
        parts = answered(name, given.predictors, given.results, tables[name], foreign)
        print(name, {part: len(rows) for part, rows in parts.items()}, flush=True)
        record = {
            "rows": {part: len(rows) for part, rows in parts.items()},
            "false_alarms": list(false_alarms(name, parts)),
            "power": list(power(name, parts)),
            "level": drift.LEVEL,
            "least_effect": drift.LEAST_EFFECT,
            "texts": {source: hashlib.sha256("\0".join(texts).encode()).hexdigest() for source, texts in foreign.items()},
            "environment": vars(machine.describe("cpu", 1, "float32", 0)),
        }
        storage.write_text(json.dumps(record, indent=1, default=vars) + "\n", PUBLISHED / f"{name}.json")
    return 0


# ---------------------------------------------------------------------------------------------------------------------------
# Rows


def read(name: str, results: Path, folder: Path) -> Data:
    """The rows of a run, by its record."""
    record = records.read(results / TABLES[name])
    options = record.options

    def file(role: str) -> str | None:
        if not options.get(role):
            return None
        path = Path(options[role])
        return str(machine.PROJECT / path if name == "messages" else folder / path.name)

    reading = Reading(
        train=file("train"),
        val=file("val"),
        test=file("test"),
        text_column=options["text_column"],
        seed=options.get("split_seed") or 0,
        rows=options.get("rows"),
        test_rows=options.get("test_rows"),
    )
    if record.task == "multiclass":
        return read_multiclass(reading, label_column=options["label_column"])
    return read_multilabel(reading, label_columns=options["label_columns"])


def some(texts: list[str]) -> list[str]:
    """FOREIGN of the texts, or all."""
    return [texts[row] for row in np.random.default_rng(0).permutation(len(texts))[:FOREIGN]]


def messages_of_programs() -> dict[str, list[str]]:
    """The same messages of installed programs in English, German and Russian: what differs between these is the language."""
    translated = {language: _catalogue(code) for code, language in LANGUAGES.items()}
    originals = some(sorted(set.intersection(*map(set, translated.values()))))
    return {"English": originals} | {name: [of[text] for text in originals] for name, of in translated.items()}


def _catalogue(code: str) -> dict[str, str]:
    found = {}
    for file in sorted((CATALOGUES / code / "LC_MESSAGES").glob("*.mo")):
        try:
            with file.open("rb") as stream:
                messages = vars(gettext.GNUTranslations(stream))["_catalog"]
        except (UnicodeDecodeError, OSError):
            continue
        for original, translation in messages.items():
            if isinstance(original, str) and original and original != translation:
                plain = [" ".join(MARKS.sub("", text).split()) for text in (original, translation)]
                if all(5 <= len(text.split()) <= 60 for text in plain):
                    found[plain[0]] = plain[1]
    return found


def answered(name: str, predictors: Path, results: Path, data: Data, foreign: dict[str, list[str]]) -> dict[str, Rows]:
    """The rows of the table's validation and test, these by the answers that the run kept, and of all foreign sources."""
    classifier = load(predictors / TABLES[name], threads=1)
    stated = classifier.predictor.manifest
    if equality.digests(data.val.texts) != stated.data.val_texts:
        raise SystemExit(f"{name}: the validation rows are not those of the predictor")
    of_test, numbers = records.read_answers(results / TABLES[name])
    if list(numbers) != list(data.test.numbers):
        raise SystemExit(f"{name}: the test rows are not those of the run")
    texts = {"val": data.val.texts, "test": data.test.texts} | {
        source: each for source, each in foreign.items() if source != name
    }
    parts = {}
    for part, these in texts.items():
        truth = tasks.truth(stated.task, getattr(data, part), data.labels) if part in ("val", "test") else None
        rows = np.arange(len(these))
        if name in SKETCHED:
            rows = np.random.default_rng(1).permutation(len(these))[:SKETCHED_ROWS]
        probabilities = of_test if part == "test" else classifier.probabilities(these)
        parts[part] = Rows(
            summarising.describe(classifier.tokenizer, these, stated),
            answered_labels(probabilities, stated.thresholds),
            stated.reviewer().decide(probabilities).confidence,
            np.zeros(probabilities.shape, int) if truth is None else truth,
        )
        if name in SKETCHED:
            parts[part] = replace(parts[part], sketches=_sketches(classifier, these, probabilities, rows))
    return parts


def _sketches(classifier: Classifier, texts: list[str], probabilities: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Random combinations of logits, and of the first-token states of SKETCHED_ROWS rows, NaN for the others; (R, 16) each."""
    clipped = np.clip(probabilities.astype(np.float64), 1e-4, 1 - 1e-4)
    logits = np.log(clipped) - np.log1p(-clipped)
    load_states = engines.find("onnx").load_states
    assert load_states is not None
    loaded = load_states(classifier.predictor, "cpu", 1)
    assert loaded.forward is not None
    hidden = int(classifier.predictor.config.get("hidden_size") or classifier.predictor.config["dim"])
    encoded = classifier.encode([texts[row] for row in rows])
    states = np.full((len(texts), hidden), np.nan)
    states[rows] = batching.predict([encoded], len(rows), hidden, loaded.forward, loaded.tokens_per_batch, None)
    rng = np.random.RandomState(0)
    return {
        name: each @ rng.standard_normal((each.shape[1], SKETCH)) for name, each in (("outputs", logits), ("states", states))
    }


# ---------------------------------------------------------------------------------------------------------------------------
# Draws


@dataclass
class Drawn:
    """In how many of the draws there was an alarm, and by which aspects."""

    rows: int
    what: str
    share: float = 1.0
    draws: int = 0
    alarms: int = 0
    aspects: Counter[str] = field(default_factory=Counter)
    with_sketch: Counter[str] = field(default_factory=Counter)

    def compare(self, reference: Rows, new: Rows) -> None:
        """Count a draw."""
        before, now = reference.summaries, new.summaries
        changed = {each.aspect for each in drift.compare(before, now) if each.changed}
        self.draws += 1
        self.alarms += bool(changed)
        self.aspects.update(changed)
        for name, sketch in reference.sketches.items() if self.share < 1 else ():
            self.with_sketch[name] += _alarm_with(sketch, new.sketches[name], drift.aspects(before, now))


def _alarm_with(before: np.ndarray, now: np.ndarray, aspects: dict[str, list[drift.Comparison]]) -> bool:
    """Whether there is an alarm where the columns of a sketch are one more aspect."""
    columns = [[np.sort(column[~np.isnan(column)]) for column in sketch.T] for sketch in (before, now)]
    tests = [drift.kolmogorov_smirnov(*both, *map(len, both)) for both in zip(*columns, strict=True)]
    p_values = {aspect: [each.p_value for each in found] for aspect, found in aspects.items()}
    factors = drift.adjusting({**p_values, "sketch": [p_value for p_value, _ in tests]})
    least = drift.LEAST_EFFECT["confidence"]
    if any(p_value * factors["sketch"] <= drift.LEVEL and effect >= least for p_value, effect in tests):
        return True
    adjusted = (replace(each, p_value=each.p_value * factors[each.aspect]) for found in aspects.values() for each in found)
    return any(each.changed for each in adjusted)


def sizes_of(name: str) -> tuple[int, ...]:
    """How many new rows are drawn."""
    return SIZES_OF_MESSAGES if name == "messages" else SIZES


def false_alarms(name: str, parts: dict[str, Rows]) -> Iterator[Drawn]:
    """Fresh rows beside the validation rows, and both drawn anew from validation and test rows together."""
    val, test, both = parts["val"], parts["test"], parts["val"].and_also(parts["test"])
    for size in sizes_of(name):
        rng = np.random.default_rng(size)
        saved, anew = Drawn(size, "validation rows"), Drawn(size, "drawn anew")
        for _ in range(DRAWS):
            saved.compare(val, test.take(rng.permutation(len(test))[:size]))
            order = rng.permutation(len(both))
            anew.compare(both.take(order[: len(val)]), both.take(order[len(val) : len(val) + size]))
        yield from (saved, anew)


def power(name: str, parts: dict[str, Rows]) -> Iterator[Drawn]:
    """Planted changes: foreign rows among fresh ones, a label doubled."""
    val, test = parts["val"], parts["test"]
    for size in sizes_of(name):
        yield _draw(val, Drawn(size, "label doubled"), partial(doubled, test, size))
        for source in (each for each in parts if each not in ("val", "test")):
            for share in SHARES:
                count = round(share * size)
                if count <= len(parts[source]):
                    yield _draw(val, Drawn(size, source, share), _mixed(test, parts[source], size, count))


def _draw(val: Rows, drawn: Drawn, new: Callable[[np.random.Generator], Rows]) -> Drawn:
    rng = np.random.default_rng(drawn.rows)
    for _ in range(DRAWS_OF_CHANGES):
        drawn.compare(val, new(rng))
    return drawn


def _mixed(test: Rows, foreign: Rows, size: int, count: int) -> Callable[[np.random.Generator], Rows]:
    def new(rng: np.random.Generator) -> Rows:
        own = test.take(rng.permutation(len(test))[: size - count])
        return own.and_also(foreign.take(rng.permutation(len(foreign))[:count]))

    return new


def doubled(test: Rows, size: int, rng: np.random.Generator) -> Rows:
    """Fresh rows of which twice as many as usual have one label, a random one; at most three quarters."""
    label = rng.integers(test.truth.shape[1])
    having = test.truth[:, label] > 0
    count = rng.binomial(size, min(2 * having.mean(), 0.75))
    kinds = (np.flatnonzero(having), count), (np.flatnonzero(~having), size - count)
    chosen = [rng.choice(rows, number, replace=number > len(rows)) for rows, number in kinds]
    return test.take(np.concatenate(chosen))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

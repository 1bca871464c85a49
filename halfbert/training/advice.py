"""What to do next: rules that each look at one kind of evidence in a run's record.

docs/training.md states the rules, and what was measured to choose them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halfbert.models.checkpoints import MINI
from halfbert.options import TrainOptions
from halfbert.options.repeating import again, taught_by
from halfbert.output.advice import LABEL_CONFLICTS, LABEL_ERRORS, Suggestion
from halfbert.output.record import Record
from halfbert.output.text import span
from halfbert.output.words import counted, model_name, percent
from halfbert.system import machine

MOST_SUGGESTIONS = 3
SIGNIFICANT = 0.05
FEWEST_ERRORS, MOST_ERRORS = 0.01, 0.2  # of the rows; more of them are a sign of unsure answers rather than of wrong labels
LONGEST, WINDOW = 512, 256  # tokens
MULTIPLE = 16  # of tokens, to round up to


@dataclass(frozen=True)
class Commands:
    """Command lines with a run's own options; for a record without the private folders of absolute paths."""

    options: TrainOptions
    shareable: bool = False

    def again(self, **changes: Any) -> str | None:
        """The same run with some options changed."""
        return self._line(again(self.options, **changes))

    def taught_by(self, teacher: Path) -> str | None:
        """A distillation on the run's rows."""
        return self._line(taught_by(self.options, teacher))

    def _line(self, command: tuple[str, list[str]] | None) -> str | None:
        if command is None:
            return None
        verb, words = command
        return machine.command_line(verb, [machine.shareable(word) for word in words] if self.shareable else words)


def suggestions(record: Record, options: TrainOptions, shareable: bool = True) -> list[Suggestion]:
    """The first few that have evidence: those whose gain was measured come first. None without a test."""
    commands = Commands(options, shareable)
    found = [rule(record, commands) for rule in RULES] if record.test is not None else []
    return [suggestion for suggestion in found if suggestion is not None][:MOST_SUGGESTIONS]


def thresholds(record: Record, commands: Commands) -> Suggestion | None:
    """Another rule for thresholds, where its gain on validation rows is above 0 with its interval."""
    found = record.evidence and record.evidence.threshold
    if not found or found.gain.low <= 0:
        return None
    return Suggestion(
        f"choose the thresholds by {found.rule}",
        f"on {counted(found.gain.rows, 'validation row')}, each at thresholds chosen on others, macro F1 is "
        f"{found.gain.first:.4f} with "
        f"it and {found.gain.second:.4f} with {record.options.get('threshold')}: {span(found.gain)}",
        commands.again(threshold=found.rule),
    )


def longer_texts(record: Record, commands: Commands) -> Suggestion | None:
    """More tokens, or windows, where truncated test rows are significantly more often wrong than the others."""
    found, maxlen = record.evidence and record.evidence.truncation, record.options["maxlen"]
    if not found or found.p_value >= SIGNIFICANT:
        return None
    tokens = min(LONGEST, math.ceil(found.tokens / MULTIPLE) * MULTIPLE)
    wrong, others_wrong = percent(found.wrong / found.rows), percent(found.others_wrong / found.others)
    longer = maxlen < tokens
    return Suggestion(
        f"read {tokens} tokens of a text instead of {maxlen}" if longer else "read long texts in windows",
        f"of {counted(found.rows, 'test row')} truncated at {maxlen} tokens {wrong} are wrong, of the {found.others:,} others "
        f"{others_wrong} (Fisher's exact test: p = {found.p_value:.2g})",
        commands.again(maxlen=tokens) if longer else commands.again(long="windows", maxlen=WINDOW),
    )


def teacher(record: Record, commands: Commands) -> Suggestion | None:
    """A distillation, where BERT's score on the same rows is above DistilBERT's with its interval."""
    others = record.evidence.others if record.evidence and not record.distillation else []
    best = max(others, key=lambda other: other.gain.difference, default=None)
    if best is None or best.gain.low <= 0:
        return None
    bert = Path(best.predictor) if best.model == "bert" else commands.options.output
    return Suggestion(
        f"teach a {model_name('distilbert')} what {bert.as_posix()} knows",
        f"{model_name('bert')}'s macro F1 on the same {counted(best.gain.rows, 'test row')} is {best.gain.first:.4f}, "
        f"{model_name('distilbert')}'s {best.gain.second:.4f}: {span(best.gain)}",
        commands.taught_by(bert),
    )


def more_rows(record: Record, commands: Commands) -> Suggestion | None:
    """More labelled rows, where TF-IDF's score still rises from half of the rows to all, with its interval."""
    found = record.evidence and record.evidence.growth
    if not found or found.rise.low <= 0:
        return None
    curve = ", ".join(f"{point.score:.3f} with {point.rows:,}" for point in found.curve)
    limited = record.options.get("rows") is not None
    return Suggestion(
        "train on all labelled rows, without --rows" if limited else "label more rows, and train again",
        f"{model_name('tfidf')}'s macro F1 on the test rows still rises with the training rows: {curve}; from half to all of "
        f"them {span(found.rise)}",
        commands.again(overwrite=True, **({"rows": None} if limited else {})),
    )


def label_conflicts(record: Record, commands: Commands) -> Suggestion | None:
    """One label for each text, where equal texts have different ones."""
    count = record.data.conflicting_texts
    if not count:
        return None
    return Suggestion(
        f"decide on one labelling for each text in {_file(commands, LABEL_CONFLICTS)}",
        f"{counted(count, 'text')} of {record.data.files[0].name} "
        f"{'stands' if count == 1 else 'stand'} in several rows under different labels",
        commands.again(overwrite=True),
    )


def label_errors(record: Record, commands: Commands) -> Suggestion | None:
    """A look at the likely label errors, where they are from one row in a hundred to one in five."""
    found = record.label_errors
    if not found or not found.count or not FEWEST_ERRORS <= found.count / found.rows <= MOST_ERRORS:
        return None
    return Suggestion(
        f"check the labels in {_file(commands, LABEL_ERRORS)}, the worst first",
        f"{found.count:,} of {counted(found.rows, 'row')} ({percent(found.count / found.rows)}) likely have a wrong label, by "
        f"the answers of {model_name(found.source)} to rows left out of a fit",
        commands.again(overwrite=True),
    )


def larger_model(record: Record, commands: Commands) -> Suggestion | None:
    """BERT in the place of DistilBERT, where that is no better than TF-IDF, or no better on training rows than on others."""
    options, checkpoint = commands.options, record.options.get("checkpoint")
    known = any(other.model == "bert" for other in record.evidence.others) if record.evidence else False
    if record.model != "distilbert" or record.distillation or record.continued or known or checkpoint not in (None, MINI):
        return None
    gain = record.tfidf.gain.get("macro_f1") if record.tfidf else None
    kept = record.epochs[(record.best_epoch or 1) - 1] if record.epochs else {}
    learnt, held_out = kept.get("train_loss"), kept.get("val_loss")
    weighed = getattr(options, "balance", False) or getattr(options, "class_weights", None)
    if gain is not None and gain.difference <= 0:
        why = f"macro F1 {gain.first:.4f} is not above {model_name('tfidf')}'s, {gain.second:.4f}"
    elif learnt is not None and held_out is not None and learnt >= held_out and not weighed:
        why = f"its loss on training rows, {learnt:.3f}, is not below that on validation rows, {held_out:.3f}"
    else:
        return None
    return Suggestion(f"try {model_name('bert')}, which has twice the layers", why, commands.again(model="bert"))


def _file(commands: Commands, name: str) -> str:
    """The path of a file of the results."""
    file = (commands.options.results / name).as_posix()
    return machine.shareable(file) if commands.shareable else file


RULES: tuple[Callable[[Record, Commands], Suggestion | None], ...] = (
    *(thresholds, longer_texts, teacher, more_rows, label_conflicts, label_errors, larger_model),
)

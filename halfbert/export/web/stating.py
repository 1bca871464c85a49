"""What the page knows of a predictor, beside its graph."""

from typing import Any

from halfbert.export import answers
from halfbert.export.web import tokenizer
from halfbert.predictor import classifier, manifest
from halfbert.predictor.manifest import Predictor
from halfbert.scoring.review import MAX_ERRORS, ReviewRule
from halfbert.system.errors import InputError

CARD, LONGEST_CARD = "README.md", 100_000  # characters


def stated(predictor: Predictor) -> dict[str, Any]:
    """All that the page's scripts need, as JSON has it. Raises InputError for a tokenizer of another kind than BERT's."""
    known = predictor.manifest
    facts = {name: getattr(known, name) for name in ("task", "labels", "maxlen", "long", "model", "text_columns", "test")}
    facts |= {"name": predictor.folder.resolve().name, "weights_sha256": predictor.weights_sha256}
    card = predictor.folder / CARD
    return {
        **answers.described(predictor),
        "tokenizer": tokenizer.described(classifier.read_tokenizer(predictor), predictor.folder / manifest.TOKENIZER),
        "facts": {**facts, "calibrated": known.calibration is not None},
        "card": card.read_text(encoding="utf-8", errors="replace")[:LONGEST_CARD] if card.is_file() else None,
        "rules": _rules(predictor),
        "uncalibrated": known.reviewer().line,
    }


def _rules(predictor: Predictor) -> list[dict[str, Any]]:
    """Those of MAX_ERRORS that can be guaranteed: a text goes to a person if its score is at most `cut`."""
    rules = []
    for max_error in MAX_ERRORS:
        try:
            decides = predictor.manifest.reviewer(ReviewRule(max_error=max_error))
        except InputError:
            continue
        rules.append({"max_error": max_error, "cut": max(decides.cut, -1e300), "line": decides.line})
    return rules

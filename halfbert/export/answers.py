"""What a program needs to make answers of a model's logits, beside the model: `answers.json`, the same in every export."""

import json
from dataclasses import asdict
from typing import Any

from halfbert.data.texts import SEPARATOR
from halfbert.models.long_texts import HEAD_TAIL, head_tokens
from halfbert.predictor.manifest import TOKENIZER, Predictor

FILE = "answers.json"
FORMAT_VERSION = 1


def described(predictor: Predictor) -> dict[str, Any]:
    """Labels, thresholds, lengths, calibration and the tokenizer's rules of a predictor, as JSON has them.

    `docs/device.md` says what each entry means and how a program uses it.
    """
    stated = predictor.manifest
    calibration = stated.calibration
    return {
        "format_version": FORMAT_VERSION,
        "task": stated.task,
        "labels": stated.labels,
        "thresholds": stated.thresholds,
        "maxlen": stated.maxlen,
        "long": stated.long,
        "head_tokens": head_tokens(stated.maxlen) if stated.long == HEAD_TAIL else None,
        "pooling": asdict(stated.pooling) if stated.pooling else None,
        "temperature": calibration.temperature if calibration else None,
        "platt": calibration.platt if calibration else None,
        "text_columns": stated.text_columns,
        "separator": SEPARATOR,
        "tokenizer": _tokenizer(predictor),
    }


def _tokenizer(predictor: Predictor) -> dict[str, Any]:
    """The rules of BERT's tokenizer: how text is normalised, and which pieces words are made of."""
    content = json.loads((predictor.folder / TOKENIZER).read_text(encoding="utf-8"))
    normalizer, model = content.get("normalizer") or {}, content["model"]
    rules = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    pieces = ("unk_token", "continuing_subword_prefix", "max_input_chars_per_word")
    return {**{name: normalizer.get(name) for name in rules}, **{name: model.get(name) for name in pieces}}

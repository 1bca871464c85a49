"""Summaries of the rows that a predictor answers, for `halfbert.scoring.drift`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from halfbert.data.phrases import counted
from halfbert.models import batching, long_texts
from halfbert.predictor.manifest import MANIFEST, Manifest, Predictor
from halfbert.scoring.drift import FEWEST_ROWS, Summaries
from halfbert.system.errors import ArtefactError, InputError

UNKNOWN = "[UNK]"


def describe(tokenizer: Any, texts: Sequence[str], stated: Manifest) -> np.ndarray:
    """Of each text how many words and tokens it has, and whether the tokenizer does not know one that it reads.

    Shape (texts, 3).
    """
    encoded, _ = batching.encode(tokenizer, texts, stated.maxlen, stated.long)
    of_token = np.repeat(encoded.text_of_row(), encoded.lengths)
    unknown = np.bincount(of_token, weights=encoded.ids == tokenizer.token_to_id(UNKNOWN), minlength=len(texts))
    tokens = encoded.full_lengths - long_texts.SPECIAL_TOKENS
    return np.column_stack([[len(text.split()) for text in texts], tokens, unknown > 0])


def reference(predictor: Predictor) -> Summaries:
    """What new rows are compared with.

    Raises InputError, with what to do, if the predictor has none, or of too few rows; ArtefactError if they are damaged.
    """
    folder, found = predictor.folder, predictor.manifest.summaries
    remedy = f"answer rows of the usual kind with halfbert predict {folder} … --drift-reference, which keeps theirs"
    if found is None:
        raise InputError(f"{folder}: holds no summaries to compare rows with, as older and converted predictors; {remedy}")
    try:
        found.check(len(predictor.manifest.labels))
    except ValueError as error:
        raise ArtefactError(f"{folder / MANIFEST}: its summaries are damaged ({error})") from error
    if found.rows < FEWEST_ROWS:
        rows = f"{counted(found.rows, 'row')} ({found.source})"
        raise InputError(f"{folder}: its summaries are of {rows}, and comparing needs {FEWEST_ROWS}; {remedy}")
    return found

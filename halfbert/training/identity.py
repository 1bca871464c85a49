"""What a run depends on, by the names that a user knows: a saved state is resumed only by a run that depends on the same."""

import hashlib
import json
from typing import Any

from halfbert import training
from halfbert.data.tables import Data
from halfbert.models.checkpoints import Checkpoint
from halfbert.options import TrainOptions, declared
from halfbert.output.words import shortened
from halfbert.system import machine

HASH = "SHA-256 "  # how a value begins that says nothing to a reader
PACKAGES = ("tensorflow", "tf_keras", "ktrain", "transformers", "tokenizers", "numpy")
GROUPS = ("model", "teacher and student", "loss", "training", "machine")  # of a table the rows themselves are compared
BY_CONTENT = ("checkpoint", "from_", "teacher", "unlabelled")  # compared by what is in them
NO_MATTER = ("no_tfidf", "no_control")  # for the fit
OF_THE_MACHINE = ("device", "threads")  # may change the last digits, so they matter to a run that is to repeat bit by bit


def of_run(
    options: TrainOptions, texts: dict[str, Any], checkpoint: Checkpoint, in_force: dict[str, Any], more: dict[str, Any]
) -> dict[str, Any]:
    """Options, rows, weights, versions.

    Parameters
    ----------
    texts: plain JSON of each part of the rows.
    in_force: options whose default was chosen by now.
    more: what else there is, by the name it has in an error.
    """
    left_out = (*BY_CONTENT, *NO_MATTER, *(() if options.deterministic else OF_THE_MACHINE))
    compared = [each for each in declared(type(options)) if each.group in GROUPS and each.name not in left_out]
    values = {each.flag: in_force.get(each.name, getattr(options, each.name)) for each in compared}
    return {
        **values,
        "--keep-epochs": options.keep_epochs,
        **{f"{part} rows": hashed(rows) for part, rows in texts.items()},
        "pretrained weights": HASH + checkpoint.weights_sha256,
        "recipe of halfbert": training.RECIPE_VERSION,
        **{package: machine.version_of(package) for package in PACKAGES},
        **more,
    }


def of_data(data: Data) -> dict[str, Any]:
    """The rows of each part; labels are numbered alike."""
    return {part: [data.labels, rows.texts, rows.labels] for part, rows in data.parts()}


def hashed(value: Any) -> str:
    """SHA-256 of a value's JSON, as a value to compare."""
    return HASH + hashlib.sha256(json.dumps(value).encode()).hexdigest()


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two runs, a phrase for each name; `before` was read from JSON."""
    now = json.loads(json.dumps(now))
    differing = [name for name in dict.fromkeys([*before, *now]) if before.get(name) != now.get(name)]
    return [_difference(name, before.get(name, "not given"), now.get(name, "not given")) for name in differing]


def _difference(name: str, before: Any, now: Any) -> str:
    if any(isinstance(value, str) and value.startswith(HASH) for value in (before, now)):
        return f"{name}: not the same"
    return f"{name} was {shortened(str(before))}, is {shortened(str(now))}"

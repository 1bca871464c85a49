"""What checkpoints and predictors have in common: two architectures, a `config.json`, tokenizer files."""

import json
from pathlib import Path
from typing import Any

from halfbert.system.errors import InputError

MODELS = ("bert", "distilbert")
TOKENIZER_FILES = ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def read_config(folder: Path) -> dict[str, Any]:
    """The `config.json` of a checkpoint folder. Raises InputError if it has none."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder}: no checkpoint there (config.json is missing)") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{folder / 'config.json'}: cannot be read as JSON ({error})") from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise InputError(f"{folder / 'config.json'}: names no model_type")
    return config

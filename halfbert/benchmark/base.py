"""Predictors of BERT-base's and DistilBERT-base's size with random weights: `python -m halfbert.benchmark.base MODEL FOLDER`.

How long a network takes does not depend on its weights, so that the full sizes can be timed without access to the hub. The
sizes are transformers' defaults for the two configurations, which are those of the published base models; the vocabulary is
that of the packaged checkpoint, which is bert-base-uncased's.
"""

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from halfbert.models import batching, checkpoints, weights
from halfbert.predictor import engines, writing
from halfbert.predictor.manifest import PROBLEM_TYPES, CheckpointUsed, Manifest
from halfbert.system import console, machine, processes, temporary, tensorflow_setup
from halfbert.system.errors import ResourceError

NAMES = {"bert": "BERT-base (random weights)", "distilbert": "DistilBERT-base (random weights)"}
LABELS = ["first", "second"]
PROBLEM = PROBLEM_TYPES["multiclass"]
VOCABULARY = 30522
# As transformers' configurations have them; without TensorFlow there may be no transformers.
SIZES: dict[str, dict[str, int | str]] = {
    "bert": {
        **{"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072},
        **{"type_vocab_size": 2, "hidden_act": "gelu"},
    },
    "distilbert": {"dim": 768, "n_layers": 6, "n_heads": 12, "hidden_dim": 3072, "activation": "gelu"},
}
ROOM_BYTES = 2_600_000_000  # weights of both, and all engines' files made from them


@contextlib.contextmanager
def folders() -> Iterator[list[Path]]:
    """The two predictors, in a temporary folder that is removed when the block ends."""
    with temporary.folder("base-") as room:
        if shutil.disk_usage(room).free < ROOM_BYTES:
            raise ResourceError(
                f"--base writes {ROOM_BYTES / 1e9:.1f} GB to {room} for a while, which has less space; set TMPDIR"
            )
        for model, name in NAMES.items():
            processes.run(["-m", "halfbert.benchmark.base", model, str(room / name)], f"--base: {name}")
        yield [room / name for name in NAMES.values()]


def make(model: str, folder: Path, **sizes: int) -> None:
    """Write a predictor of random weights into a new folder; `sizes` replace those of the base configuration.

    Without TensorFlow it is one that the engines onnx and torch can read.
    """
    folder.mkdir(parents=True)
    tokenizer = checkpoints.packaged("bert").folder
    if engines.installed("ktrain"):
        _write_by_ktrain(model, tokenizer, folder, sizes)
    else:
        positions = {"max_position_embeddings": batching.LONGEST, "vocab_size": VOCABULARY, "layer_norm_eps": 1e-12}
        labels = {"id2label": {str(number): label for number, label in enumerate(LABELS)}, "problem_type": PROBLEM}
        weights.write_random(folder, {**SIZES[model], **positions, **labels, **sizes, "model_type": model})
        for name in weights.TOKENIZER_FILES:
            if (tokenizer / name).is_file():
                shutil.copyfile(tokenizer / name, folder / name)
    stated = Manifest(
        task="multiclass",
        labels=LABELS,
        thresholds=None,
        maxlen=batching.LONGEST,
        model=model,
        checkpoint=CheckpointUsed("random weights", note="for timing only"),
        versions=machine.versions(),
    )
    writing.finish(folder, stated, f"# {folder.name}\n\nRandom weights, for timing only.\n")


def _write_by_ktrain(model: str, tokenizer: Path, folder: Path, sizes: dict[str, int]) -> None:
    tensorflow_setup.prepare(device="cpu")
    import transformers

    from halfbert.models.ktrain_data import Transformer, ktrain

    transformer = Transformer(str(tokenizer), maxlen=batching.LONGEST, class_names=LABELS)
    kind = {"bert": transformers.BertConfig, "distilbert": transformers.DistilBertConfig}[model]
    config = kind(**sizes, id2label=dict(enumerate(LABELS)), problem_type=PROBLEM)
    transformer.config, transformer.name, transformer.use_token_type_ids = config, model, model == "bert"
    network = transformer.model_type.from_config(config)
    network(network.dummy_inputs)  # builds the weights
    ktrain.get_predictor(network, transformer.for_predictor()).save(str(folder))


if __name__ == "__main__":
    sys.exit(console.run(lambda arguments, _stop: make(arguments[0], Path(arguments[1])), sys.argv[1:]))

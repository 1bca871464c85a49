"""ktrain's `text.Transformer` with batched tokenising and batches of like length.

Differences from ktrain 0.41.4, which tokenises row by row, pads every row to maxlen, and loads the pretrained weights once
only to look at an argument's name:

- texts are tokenised in one call, and `maxlen=None` is decided from the training texts;
- training batches hold texts of like length, padded to the longest of the batch, each row once an epoch;
- what is pickled into a predictor is ktrain's own class, so that plain ktrain loads it.

Import after `tensorflow_setup.prepare`.
"""

import copy
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from halfbert.models import batching
from halfbert.models.long_texts import CUT
from halfbert.system.tensorflow_setup import import_ktrain

ktrain: Any = import_ktrain()
text: Any = ktrain.text
_Dataset: Any = importlib.import_module("ktrain.text.dataset").TransformerDataset
_Transformer: Any = text.Transformer


class TransformerDataset(_Dataset):
    """Encoded texts or their windows, each with its labels, as ktrain's learner and predictor take them.

    To train, a window weighs so much less that every text counts alike: 1 / the number of its text's windows, times what makes
    the mean weight 1. It keeps the name of ktrain's class, because ktrain chooses the learner by that name.
    """

    def __init__(self, encoded: batching.EncodedTexts, y: np.ndarray, use_token_type_ids: bool):
        self.encoded = encoded
        self.y = y  # (rows, classes) one-hot or 0/1
        self.use_token_type_ids = use_token_type_ids
        self.batch_size = 1  # set by get_learner
        self.epochs = 1  # how many epochs of batches are laid out before they repeat
        self.seed = 0
        self.first_step = 0  # of all epochs', from which on the batches are given
        self.pad_to_multiple_of = 1
        self.fixed_length: int | None = None  # tokens of every batch, for devices that compile each shape anew (TPU)
        self.full_batches = False  # every batch has batch_size rows: what several devices can share out evenly

    def __len__(self) -> int:
        return -(-len(self.y) // self.batch_size)

    def nsamples(self) -> int:
        return len(self.y)

    def to_array(self) -> list[np.ndarray]:
        """ids, mask (and token types), each (rows, longest row): the input of `model.predict`."""
        ids, mask = self.encoded.padded(np.arange(len(self.y)))
        return [ids, mask, np.zeros_like(ids)] if self.use_token_type_ids else [ids, mask]

    def to_tfdataset(self, train: bool = True) -> tf.data.Dataset:
        """Batches as ktrain's learner takes them: endless, shuffled and of like length to train; once, in order, else.

        Elements: ({input_ids, attention_mask[, token_type_ids]}: (rows, tokens) int32, labels (rows, classes) float32).
        With `full_batches`, a `fixed_length` or windows every batch has as many rows, and a third part, (rows,) float32,
        weighs those that only fill it with 0 and the others so that their weighted sum / rows is their (weighted) mean. Pure
        tf.data over arrays, so that it also runs on a TPU.
        """
        batches = tf.data.Dataset.from_tensor_slices(self.layout(train)[self.first_step if train else 0 :])
        # Weights of windows have a shape that is known beforehand, as Keras' class_weight requires.
        full = self.full_batches or self.fixed_length is not None or self.encoded.windows is not None
        batches = batches.map(self._full_batch if full else self._batch, num_parallel_calls=1)
        options = tf.data.Options()
        # Nothing here is tuned, yet its thread would be waited for, asleep, at the end of a fit: for seconds, up to a minute.
        options.autotune.enabled = False
        return (batches.repeat() if train else batches).prefetch(2).with_options(options)

    def _batch(self, rows: tf.Tensor) -> tuple[Any, ...]:
        rows = tf.boolean_mask(rows, rows >= 0)
        return self._features(rows, self._longest(rows)), tf.gather(self._labels, rows)

    def _full_batch(self, rows: tf.Tensor) -> tuple[Any, ...]:
        there = tf.maximum(rows, 0)
        weights = tf.cast(rows >= 0, tf.float32)
        fixed = self.fixed_length
        tokens = self._longest(tf.boolean_mask(rows, rows >= 0)) if fixed is None else tf.constant(fixed, tf.int64)
        features = self._features(there, tokens)
        features = {name: tf.ensure_shape(values, [self.batch_size, fixed]) for name, values in features.items()}
        labels = tf.ensure_shape(tf.gather(self._labels, there), [self.batch_size, self.y.shape[1]])
        scaled = weights * (self.batch_size / tf.reduce_sum(weights))
        return features, labels, scaled if self.encoded.windows is None else scaled * tf.gather(self._weights, there)

    def _longest(self, rows: tf.Tensor) -> tf.Tensor:
        longest, multiple = tf.reduce_max(tf.gather(self.encoded.lengths, rows)), self.pad_to_multiple_of
        return (longest + multiple - 1) // multiple * multiple

    def _features(self, rows: tf.Tensor, tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        positions = tf.range(tokens)
        mask = positions < tf.gather(self.encoded.lengths, rows)[:, None]
        at = tf.where(mask, tf.gather(self.encoded.starts, rows)[:, None] + positions, 0)
        mask = tf.cast(mask, tf.int32)
        features = {"input_ids": tf.gather(self.encoded.ids, at) * mask, "attention_mask": mask}
        if self.use_token_type_ids:
            features["token_type_ids"] = tf.zeros_like(mask)
        return features

    @property
    def _labels(self) -> np.ndarray:
        return self.y.astype(np.float32)

    @property
    def _weights(self) -> np.ndarray:
        """(rows,) float32, of windows."""
        counts = np.bincount(self.encoded.text_of_row())
        weights = np.repeat(1 / counts, counts)
        return (weights / weights.mean()).astype(np.float32)

    def layout(self, train: bool) -> np.ndarray:
        """(steps, batch_size) int32: the rows of each batch, of `epochs` epochs where it is for training; -1 is no row."""
        if train:
            rng = np.random.default_rng(self.seed)
            lengths = self.encoded.lengths
            return np.concatenate([batching.epoch_batches(lengths, self.batch_size, rng) for _ in range(self.epochs)])
        rows = np.full(len(self) * self.batch_size, -1, np.int32)
        rows[: len(self.y)] = np.arange(len(self.y))
        return rows.reshape(len(self), self.batch_size)


class Transformer(_Transformer):
    """ktrain's `text.Transformer` for a checkpoint folder of BERT or DistilBERT architecture.

    `model_name` is a folder with config.json, weights and tokenizer. What becomes of texts of more than `maxlen` tokens (None:
    as `batching.encode` decides from the training texts) is one of `long_texts.WAYS`. The labels are in the order of their
    numbers.
    """

    def __init__(self, model_name: str, maxlen: int | None, class_names: list[str], multilabel: bool = False, way: str = CUT):
        # ktrain's own __init__ would load the full weights to learn whether the model takes token types.
        text.preprocessor.TextPreprocessor.__init__(self, maxlen, class_names, lang="en", multilabel=multilabel)
        self.maxlen: int | None
        self.way = way
        self.model_name = str(model_name)
        self.config = text.preprocessor.AutoConfig.from_pretrained(model_name)
        self.name = self.config.model_type
        self.config.id2label = dict(enumerate(class_names))
        self.config.label2id = {label: number for number, label in enumerate(class_names)}
        self.config.problem_type = "multi_label_classification" if multilabel else "single_label_classification"
        self.model_type = text.preprocessor.TFAutoModelForSequenceClassification
        self.tokenizer_type = text.preprocessor.AutoTokenizer
        self.use_token_type_ids = self.name == "bert"
        self.tok = self.tok_dct = None
        self.max_features, self.ngram_range = 10000, 1  # ktrain's; nothing reads them here
        self.batch_size, self.use_with_learner = None, True
        if multilabel and len(class_names) == 1:
            # ktrain takes the 0 and 1 of a single label for numbers of classes, and there is no class 1.
            self.ytransform = text.preprocessor.U.YTransform()

    def _transform_y(self, y_data: np.ndarray, train: bool = False, verbose: int = 1) -> np.ndarray:
        """Labels as 0/1 columns stay as they are; numbers become one-hot rows."""
        return y_data if self.multilabel else super()._transform_y(y_data, train, verbose)

    def hf_convert_examples(self, texts: Sequence[str], y: Any = None, tokenizer: Any = None, **_: Any) -> TransformerDataset:
        """ktrain's seam between texts and data set: here, one tokenising call, no padding; windows have their text's labels."""
        encoded, self.maxlen = batching.encode(tokenizer, list(texts), self.maxlen, self.way)
        y = np.asarray(y)
        of_rows = y if encoded.windows is None else y[encoded.text_of_row()]
        return TransformerDataset(encoded, of_rows, self.use_token_type_ids)

    def get_classifier(self, *arguments: Any, **options: Any) -> Any:
        """ktrain's, with an optimizer of its own: the one that models share can be wrapped for mixed_float16 only once."""
        text.preprocessor.U.DEFAULT_OPT = tf.keras.optimizers.legacy.Adam()
        return super().get_classifier(*arguments, **options)

    def set_multilabel(self, data: Any, mode: str, verbose: int = 1) -> None:
        """ktrain would look at the first rows and guess; the task was stated when this object was made."""

    def for_predictor(self) -> Any:
        """The same preprocessing as an object of ktrain's own class, to be pickled into a predictor folder."""
        plain = copy.copy(self)
        plain.__class__ = text.Transformer
        del plain.way  # ktrain truncates
        plain.tok = self.get_tokenizer()  # to be saved beside it; the pickle leaves it out
        # A name without a path: the folder that the predictor is loaded from takes its place.
        plain.model_name = f"{self.name}-{Path(self.model_name).name}"
        plain.config = copy.copy(self.config)
        plain.config._name_or_path = plain.model_name
        return plain

"""A checkpoint with some of its layers: which they are, their weights, and one that TensorFlow loads."""

import numpy as np
import pytest
from support import write_checkpoint

from halfbert.models import checkpoints, layers, weights
from halfbert.system.errors import InputError


def test_layers_are_spread_as_distilbert_was_initialised():
    assert layers.evenly_spread(12, 6) == [0, 2, 4, 7, 9, 11]
    assert layers.evenly_spread(3, 1) == [0] and layers.evenly_spread(3, 2) == [0, 2]


@pytest.mark.parametrize("model", ["bert", "distilbert"])
def test_kept_layers_have_their_weights(model, tmp_path, tensorflow_ready):
    import tensorflow as tf
    import transformers

    folder = write_checkpoint(tmp_path / model, model, layers=4)
    found = checkpoints.find(model, str(folder), keep=2)
    assert found.name == f"{folder}, layers 0-3" and layers.number_of(found.config) == 2
    before, after = weights.read_checkpoint(folder), weights.read_checkpoint(found.folder)
    for name, value in after.weights.items():
        np.testing.assert_array_equal(value, before.weights[name.replace("layers.1.", "layers.3.")])
    assert checkpoints.find(model, str(folder), keep=2) == found
    assert checkpoints.find(model, str(folder), keep=4) == checkpoints.find(model, str(folder))
    _, info = transformers.TFAutoModel.from_pretrained(found.folder, output_loading_info=True)
    assert not info["missing_keys"] and tf.executing_eagerly()


def test_more_layers_than_there_are_is_a_mistake(tiny_bert):
    with pytest.raises(InputError, match="--keep 3: .* has 2 layers"):
        checkpoints.find("bert", str(tiny_bert), keep=3)

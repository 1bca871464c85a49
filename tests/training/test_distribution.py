"""The way that a TPU takes, on a CPU: batches of one shape, a strategy's scope, transformers' own forward pass."""

import numpy as np
import pytest
from support import LABELS, example_rows

pytestmark = pytest.mark.usefixtures("tensorflow_ready")


@pytest.fixture
def prepared(tiny_bert):
    """A transformer and 44 encoded training rows in batches of 16 with one shape."""
    from halfbert.models.ktrain_data import Transformer

    rows = example_rows(44)
    transformer = Transformer(tiny_bert, maxlen=16, class_names=list(LABELS))
    data = transformer.preprocess_train([text for text, _ in rows], [LABELS.index(label) for _, label in rows], verbose=0)
    data.fixed_length, data.batch_size, data.epochs = 16, 16, 2
    return transformer, data


def test_every_batch_has_one_shape_and_fillers_weigh_nothing(prepared):
    _, data = prepared
    batches = list(data.to_tfdataset(train=True).take(6))
    assert {tuple(features["input_ids"].shape) for features, _, _ in batches} == {(16, 16)}
    assert data.to_tfdataset(train=True).element_spec[0]["input_ids"].shape == (16, 16)
    assert [int(sum(weights.numpy().sum() for _, _, weights in batches[at : at + 3])) for at in (0, 3)] == [44, 44]


def test_fits_and_predicts_under_a_strategy(prepared):
    import tensorflow as tf

    from halfbert.training import fit as training

    transformer, data = prepared
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = transformer.get_classifier()
    training.compile_model(model, "tpu")
    before = model.get_weights()[0].copy()
    learner = training.get_learner(model, train_data=data, batch_size=16)
    learner.fit_onecycle(1e-3, 2, class_weight={0: 1.0, 1: 2.0, 2: 1.0}, verbose=0)
    assert not np.array_equal(before, model.get_weights()[0])
    fixed = training.predict_logits(model, data, "fixed")
    data.fixed_length = None
    np.testing.assert_allclose(fixed, training.predict_logits(model, data, "by length"), atol=1e-5)

"""The head fitted on the frozen encoder before the fit."""

import numpy as np
import pytest
from support import LABELS


@pytest.fixture(scope="module")
def probe():
    from halfbert.system import tensorflow_setup

    tensorflow_setup.prepare(device="cpu")
    from halfbert.training import head as probe

    return probe


def random_table(rows=200, units=6, labels=3, seed=0):
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(rows, units)).astype(np.float32)
    scores = features @ generator.normal(size=(units, labels)) + generator.normal(size=(rows, labels))
    return features, scores


def test_regression_is_that_of_scikit_learn(probe):
    from sklearn.linear_model import LogisticRegression

    features, scores = random_table()
    truth = scores.argmax(axis=1)
    kernel, bias = probe.regression(features, np.eye(3)[truth], multilabel=False)
    expected = LogisticRegression(C=probe.REGULARISATION, max_iter=1000).fit(features, truth)
    np.testing.assert_allclose(kernel - kernel.mean(axis=1, keepdims=True), expected.coef_.T, atol=2e-3)
    np.testing.assert_allclose(bias - bias.mean(), expected.intercept_ - expected.intercept_.mean(), atol=2e-3)


def test_regression_of_many_labels_is_one_of_scikit_learn_for_each(probe):
    from sklearn.linear_model import LogisticRegression

    features, scores = random_table()
    truth = (scores > 0.5).astype(int)
    kernel, bias = probe.regression(features, truth, multilabel=True)
    for label in range(3):
        expected = LogisticRegression(C=probe.REGULARISATION, max_iter=1000).fit(features, truth[:, label])
        np.testing.assert_allclose(kernel[:, label], expected.coef_[0], atol=2e-3)
        np.testing.assert_allclose(bias[label], expected.intercept_[0], atol=2e-3)


def test_a_label_without_a_row_gets_an_unlikely_answer(probe):
    features, scores = random_table()
    truth = np.zeros((200, 4))
    truth[np.arange(200), scores.argmax(axis=1)] = 1  # nothing in the fourth column
    kernel, bias = probe.regression(features, truth, multilabel=False)
    assert np.isfinite(kernel).all() and (features @ kernel + bias).argmax(axis=1).max() == 2


TEXTS = ["the red apple was sweet", "a green pear", "blue sky over the sea", "grey clouds and rain"] * 10


@pytest.mark.parametrize("kind", ["tiny_bert", "tiny_distilbert"])
@pytest.mark.parametrize("multilabel", [False, True])
def test_the_head_answers_as_the_regression_on_the_frozen_encoder(probe, kind, multilabel, request):
    from halfbert.models.ktrain_data import Transformer
    from halfbert.training import fit as training

    transformer = Transformer(request.getfixturevalue(kind), 16, list(LABELS[:2]), multilabel)
    numbers = np.array([0, 0, 1, 1] * 10)
    data = transformer.preprocess_train(TEXTS, np.eye(2)[numbers] if multilabel else numbers, verbose=0)
    model = transformer.get_classifier()
    training.compile_model(model, "cpu", loss=training.SigmoidCrossentropy() if multilabel else None)
    frozen = [w.copy() for w in (model.bert if kind == "tiny_bert" else model.distilbert).get_weights()]
    probe.fit_head(model, data, "cpu", multilabel)
    after = (model.bert if kind == "tiny_bert" else model.distilbert).get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(frozen, after, strict=True))
    logits = training.predict_logits(model, data, "test")
    assert (logits.argmax(axis=1) == numbers).mean() > 0.95

    states = training.first_token_states(model, data, np.arange(40), "cpu")
    head = model.bert.pooler.dense if kind == "tiny_bert" else model.pre_classifier
    activation = np.tanh if kind == "tiny_bert" else (lambda x: np.maximum(x, 0))
    features = activation(states @ head.kernel.numpy() + head.bias.numpy())
    spread = features.std(axis=0) if kind == "tiny_bert" else features.std()
    kernel, bias = probe.regression((features - features.mean(axis=0)) / spread, data.y, multilabel)
    expected = (features - features.mean(axis=0)) / spread @ kernel + bias
    np.testing.assert_allclose(logits, probe.SHRINKAGE * expected, atol=2e-3)


def test_the_states_are_those_of_the_stock_encoder_in_the_order_asked(probe, tiny_distilbert):
    import tensorflow as tf

    from halfbert.models.ktrain_data import Transformer
    from halfbert.training import fit as training

    transformer = Transformer(tiny_distilbert, 16, list(LABELS[:2]))
    data = transformer.preprocess_train(TEXTS, np.array([0, 0, 1, 1] * 10), verbose=0)
    model = transformer.get_classifier()
    training.compile_model(model, "cpu")
    rows = np.array([3, 0, 2])
    ids, mask = data.encoded.padded(rows)
    stock = model.distilbert(tf.constant(ids), attention_mask=tf.constant(mask))[0][:, 0]
    for device in ("cpu", "gpu"):  # our own pass, and the stock one
        np.testing.assert_allclose(training.first_token_states(model, data, rows, device), stock, atol=1e-5)


def test_a_large_table_is_probed_on_a_sample(probe, monkeypatch, tiny_distilbert):
    from halfbert.models.ktrain_data import Transformer
    from halfbert.training import fit as training

    asked = []
    true_states = training.first_token_states
    monkeypatch.setattr(probe, "MOST_ROWS", 30)
    monkeypatch.setattr(
        training,
        "first_token_states",
        lambda model, data, rows, device: asked.append(rows) or true_states(model, data, rows, device),
    )
    transformer = Transformer(tiny_distilbert, 16, list(LABELS[:2]))
    data = transformer.preprocess_train(TEXTS, np.array([0, 0, 1, 1] * 10), verbose=0)
    model = transformer.get_classifier()
    training.compile_model(model, "cpu")
    probe.fit_head(model, data, "cpu", seed=1)
    probe.fit_head(model, data, "cpu", seed=2)
    assert [len(set(rows)) for rows in asked] == [30, 30] and not np.array_equal(*asked)

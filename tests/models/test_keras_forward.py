"""The forward pass written for training, held against the stock transformers models: answers, gradients, dropout."""

from pathlib import Path

import numpy as np
import pytest
from support import VOCABULARY, WIDTH

pytestmark = pytest.mark.usefixtures("tensorflow_ready")
LABEL_COUNT = 3
DROPOUTS = {
    "bert": ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"),
    "distilbert": ("dropout", "attention_dropout", "seq_classif_dropout"),
}
SEVERAL_LENGTHS = [2, 9, 14, 3]
BATCHES = [[5], [7, 7, 7], SEVERAL_LENGTHS, [2, 60], [2]]


def load(checkpoint: Path, labels: int = LABEL_COUNT, **changes):
    """The stock model of a tiny checkpoint, its head the same each time."""
    import tensorflow as tf
    from transformers import AutoConfig, TFAutoModelForSequenceClassification

    tf.keras.utils.set_random_seed(0)
    config = AutoConfig.from_pretrained(checkpoint, num_labels=labels, **changes)
    model = TFAutoModelForSequenceClassification.from_pretrained(checkpoint, config=config)
    # Heads begin near zero; larger weights make differences visible.
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if "classifier" in variable.name or "pooler" in variable.name:
            variable.assign(rng.normal(0, 0.3, variable.shape))
    return model


def forward(model):
    from halfbert.models import keras_forward

    return keras_forward.forward(model)


def dropouts(checkpoint: Path) -> tuple[str, ...]:
    """The settings of the dropout of hidden states, attention and classifier."""
    return DROPOUTS[checkpoint.name.removeprefix("tiny-")]


def load_without_dropout(checkpoint: Path, labels: int = LABEL_COUNT, **but):
    return load(checkpoint, labels, **{**dict.fromkeys(dropouts(checkpoint), 0.0), **but})


def batch_of(lengths: list[int], seed: int = 0) -> dict:
    """Random token ids of the given lengths, padded; the model's own fixed first and last token do not matter here."""
    import tensorflow as tf

    mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int32)
    ids = np.random.default_rng(seed).integers(4, len(VOCABULARY), mask.shape, dtype=np.int32) * mask
    return {"input_ids": tf.constant(ids), "attention_mask": tf.constant(mask)}


def answers_and_gradients(model, call, features: dict, training: bool) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Logits, and the gradient of every variable under a loss that weighs each logit differently; in a graph, as in a fit."""
    import tensorflow as tf

    @tf.function
    def run():
        with tf.GradientTape() as tape:
            logits = call(features, training=training)
            weights = tf.reshape(tf.range(tf.size(logits), dtype=tf.float32), tf.shape(logits))
            loss = tf.reduce_mean(tf.sin(logits) * (1.0 + weights))
        gradients = tape.gradient(loss, model.trainable_variables)
        return logits, [tf.convert_to_tensor(gradient) for gradient in gradients]

    logits, gradients = run()
    names = [variable.name.partition("/")[2] for variable in model.trainable_variables]  # less the model's own, numbered name
    return logits.numpy(), dict(zip(names, (gradient.numpy() for gradient in gradients), strict=True))


def stock(model):
    return lambda features, training: model(features, training=training).logits


@pytest.fixture(scope="module")
def model(tensorflow_ready, tiny_checkpoint):
    return load(tiny_checkpoint)


@pytest.fixture(scope="module")
def model_without_dropout(tensorflow_ready, tiny_checkpoint):
    return load_without_dropout(tiny_checkpoint)


@pytest.mark.parametrize(
    ("lengths", "training"), [*((lengths, False) for lengths in BATCHES), (SEVERAL_LENGTHS, True), ([5], True)]
)
def test_answers_and_gradients_equal_the_stock_model_s(model, model_without_dropout, lengths, training):
    model, features = model_without_dropout if training else model, batch_of(lengths)
    logits, gradients = answers_and_gradients(model, forward(model), features, training)
    expected_logits, expected_gradients = answers_and_gradients(model, stock(model), features, training)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected_logits, atol=2e-5)
    assert len(gradients) == len(expected_gradients) == len(model.trainable_variables)
    largest = max(np.abs(gradient).max() for gradient in expected_gradients.values())
    for name, expected in expected_gradients.items():
        assert gradients[name].shape == expected.shape, name
        # A key's bias has no effect on a softmax, so its true gradient is 0: hence a tolerance from the other gradients.
        tolerance = 1e-4 * np.abs(expected).max() + 1e-6 * largest
        np.testing.assert_allclose(gradients[name], expected, rtol=0, atol=tolerance, err_msg=name)


def test_one_graph_serves_all_shapes_and_padding_changes_no_answer(model):
    import tensorflow as tf

    call = forward(model)
    shapes = {name: tf.TensorSpec([None, None], tf.int32) for name in ("input_ids", "attention_mask")}
    graph = tf.function(lambda features: call(features, training=False), input_signature=[shapes])
    for lengths in BATCHES:
        features = batch_of(lengths)
        together = graph(features).numpy()
        np.testing.assert_allclose(together, model(features, training=False).logits.numpy(), atol=2e-5)
        for row, length in enumerate(lengths):
            alone = {name: values[row : row + 1, :length] for name, values in features.items()}
            np.testing.assert_allclose(call(alone, training=False).numpy()[0], together[row], atol=1e-5)


def test_it_supports_published_checkpoints_and_declines_others(tiny_bert, tiny_distilbert):
    from halfbert.models.keras_forward import supports

    assert supports(load(tiny_bert)) and supports(load(tiny_distilbert))
    for changes in ({"hidden_act": "gelu_new"}, {"position_embedding_type": "relative_key"}):
        assert not supports(load(tiny_bert, **changes))
    assert not supports(load(tiny_distilbert, activation="relu"))


@pytest.mark.parametrize("which", [0, 1, 2], ids=["hidden", "attention", "classifier"])
def test_dropout_spreads_the_answers_as_the_stock_model_s_does(tiny_checkpoint, which):
    """The same text thousands of times in a batch: each copy draws its own noise, and the stock model shows how much."""
    import tensorflow as tf

    model = load_without_dropout(tiny_checkpoint, **{dropouts(tiny_checkpoint)[which]: 0.3})
    copies = 16_000
    features = {name: tf.repeat(values, copies, axis=0) for name, values in batch_of([6]).items()}
    drawn = []
    for seed, call in enumerate((forward(model), stock(model))):
        tf.keras.utils.set_random_seed(seed)
        drawn.append(call(features, training=True).numpy())
    ours, theirs = drawn
    spread = theirs.std(axis=0)
    assert spread.min() > 0.01, "the dropout of this part has no effect: the test tests nothing"
    np.testing.assert_array_less(np.abs(ours.mean(axis=0) - theirs.mean(axis=0)), 6 * spread * np.sqrt(2 / copies))
    np.testing.assert_allclose(ours.std(axis=0), spread, rtol=0.05)


@pytest.fixture(scope="module", params=[0.1, 0.5])
def dropped(request, tensorflow_ready, tiny_checkpoint):
    """A model whose logits are its pooled state after dropout at a rate; with that rate, and the state without dropout."""
    model = load_without_dropout(tiny_checkpoint, WIDTH, **{dropouts(tiny_checkpoint)[2]: request.param})
    for variable in model.classifier.trainable_variables:
        variable.assign(np.eye(WIDTH) if len(variable.shape) == 2 else np.zeros(WIDTH))
    features = batch_of([5] * 500)
    return model, request.param, features, model(features, training=False).logits.numpy()


def test_dropout_drops_the_given_share_and_scales_the_rest(dropped):
    model, rate, features, state = dropped
    answers = forward(model)(features, training=True).numpy()
    alive = np.abs(state) > 1e-3  # DistilBERT's head has a ReLU, so there are zeros without dropout
    kept = np.abs(answers) > 1e-4
    # The rate is rounded to 1/256: 0.1 becomes 26/256.
    exact = round(rate * 256) / 256
    assert abs(exact - rate) < 0.002
    assert (~kept)[alive].mean() == pytest.approx(rate, abs=0.015)
    np.testing.assert_allclose(answers[alive & kept], state[alive & kept] / (1 - exact), atol=1e-4)
    assert np.abs(answers).mean() == pytest.approx(np.abs(state).mean(), rel=0.03), "the mean is preserved"


def test_dropout_is_different_in_each_row_and_step_and_repeats_with_the_seed(dropped):
    import tensorflow as tf

    model, rate, features, state = dropped
    call, drawn = forward(model), []
    for seed in (1, 1, 2):
        tf.keras.utils.set_random_seed(seed)
        step = tf.function(lambda: call(features, training=True))  # traced once: the noise of each step must still be new
        drawn.append(np.stack([step().numpy(), step().numpy()]))
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])
    alive = np.abs(state) > 1e-3
    first, second = np.abs(drawn[0]) > 1e-4
    differing = 2 * rate * (1 - rate)  # share of elements that two independent draws treat differently
    assert (first != second)[alive].mean() == pytest.approx(differing, rel=0.15)
    both = alive[:-1] & alive[1:]
    assert (first[:-1] != first[1:])[both].mean() == pytest.approx(differing, rel=0.15)


def test_training_changes_no_name_of_a_saved_weight(tiny_checkpoint, tmp_path):
    import h5py
    import tensorflow as tf

    from halfbert.training import fit as training

    def names(folder: Path) -> dict[str, tuple]:
        shapes = {}
        with h5py.File(folder / "tf_model.h5") as file:
            file.visititems(lambda name, item: shapes.update({name: item.shape}) if hasattr(item, "shape") else None)
        return shapes

    model = load(tiny_checkpoint)
    model.save_pretrained(tmp_path / "before")
    training.compile_model(model, "cpu")
    call = forward(model)
    features, labels = batch_of([5, 3, 7]), tf.one_hot([0, 1, 2], LABEL_COUNT)
    model.fit(tf.data.Dataset.from_tensors((features, labels)), verbose=0)
    model.save_pretrained(tmp_path / "after")
    assert names(tmp_path / "after") == names(tmp_path / "before")

    reloaded = type(model).from_pretrained(tmp_path / "after")
    expected = call(features, training=False).numpy()  # of the weights of the moment
    np.testing.assert_allclose(reloaded(features, training=False).logits.numpy(), expected, atol=1e-5)
    untrained = load(tiny_checkpoint)(features, training=False).logits.numpy()
    assert not np.allclose(expected, untrained, atol=1e-5), "the training step had no effect"


def test_mixed_bfloat16_is_close_to_float32(tiny_checkpoint):
    import tensorflow as tf

    steps = []
    for policy in ("float32", "mixed_bfloat16"):
        tf.keras.mixed_precision.set_global_policy(policy)
        try:
            model = load_without_dropout(tiny_checkpoint)
            steps.append(answers_and_gradients(model, forward(model), batch_of(SEVERAL_LENGTHS), True))
        finally:
            tf.keras.mixed_precision.set_global_policy("float32")
    (logits, gradients), (mixed_logits, mixed_gradients) = steps
    assert mixed_logits.dtype == np.float32
    assert {variable.dtype.name for variable in model.trainable_variables} == {"float32"}
    difference = np.abs(mixed_logits - logits).max()
    assert 0 < difference < 0.05 * np.abs(logits).max()  # bfloat16 has 8 bits: some 0.4 % a product
    ours, theirs = (np.concatenate([part[name].ravel() for name in gradients]) for part in (mixed_gradients, gradients))
    assert np.isfinite(ours).all()
    assert ours @ theirs / np.linalg.norm(ours) / np.linalg.norm(theirs) > 0.99
    assert np.linalg.norm(ours) == pytest.approx(np.linalg.norm(theirs), rel=0.05)

"""Fine-tuning with ktrain's learner on tiny data: the fit, the best epoch, its guards, predicting, the rate finder."""

import math
import tempfile
from types import SimpleNamespace

import numpy as np
import pytest
from support import LABELS, example_rows

from halfbert.scoring.probabilities import softmax
from halfbert.training import tasks

pytestmark = pytest.mark.usefixtures("tensorflow_ready")
BATCH_SIZE, TRAIN_ROWS, VALIDATION_ROWS = 16, 96, 48
STEPS = TRAIN_ROWS // BATCH_SIZE


@pytest.fixture(scope="module")
def training(tensorflow_ready):
    from halfbert.training import fit as training

    return training


def prepare(training, checkpoint, dropout: bool = True, rows: int = TRAIN_ROWS, **options) -> SimpleNamespace:
    """A compiled model with ktrain's learner over tiny data, as the training script puts them together."""
    import tensorflow as tf

    from halfbert.models.ktrain_data import Transformer

    tf.keras.utils.set_random_seed(0)
    examples = example_rows(rows + VALIDATION_ROWS)
    texts = [text for text, _ in examples]
    numbers = np.array([LABELS.index(label) for _, label in examples])
    transformer = Transformer(checkpoint, maxlen=16, class_names=list(LABELS))
    if not dropout:
        for name in ("dropout", "attention_dropout", "seq_classif_dropout"):
            setattr(transformer.config, name, 0.0)
    train = transformer.preprocess_train(texts[:rows], numbers[:rows], verbose=0)
    validation = transformer.preprocess_test(texts[rows:], numbers[rows:], verbose=0)
    train.epochs = 8
    model = transformer.get_classifier()
    training.compile_model(model, "cpu", **options)
    learner = training.get_learner(model, train, BATCH_SIZE)
    return SimpleNamespace(
        transformer=transformer, train=train, validation=validation, model=model, learner=learner, truth=numbers[rows:]
    )


@pytest.fixture(scope="module")
def traced(training, tiny_distilbert):
    """A DistilBERT without dropout that several tests fit, so that its graph is traced once."""
    set_up = prepare(training, tiny_distilbert, dropout=False)
    set_up.initial = set_up.model.get_weights()
    return set_up


@pytest.fixture
def tiny(traced):
    """That DistilBERT with the weights and the learning state it began with."""
    traced.model.set_weights(traced.initial)
    for variable in traced.model.optimizer.variables():
        variable.assign(np.zeros(variable.shape))
    return traced


@pytest.fixture
def temporary_folder(tmp_path, monkeypatch):
    """An empty folder that is the system's temporary folder while the test runs."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def stop_request():
    from halfbert.system.console import StopRequest

    return StopRequest()


def score_by(truth: np.ndarray):
    """Validation scores from logits, as the training script computes them."""
    from halfbert.scoring import multiclass as metrics

    return lambda logits: metrics.validation(truth, softmax(logits))


def told(*scores: tuple[float, float]):
    """A score that gives, epoch by epoch, the accuracy and loss it was told, whatever the logits."""
    coming = iter(scores)

    def score(_logits) -> dict:
        accuracy, loss = next(coming)
        return {"val_loss": loss, "val_accuracy": accuracy}

    return score


def fit(training, tiny, score, epochs: int, rate: float = 1e-3, callbacks=(), class_weight=None, stop=None, **options):
    """Fit with ktrain's one-cycle; returns the BestEpoch callback and the weights after each whole epoch."""
    after_epochs = []
    best = training.BestEpoch(
        tiny.validation,
        score,
        "val_accuracy",
        epochs,
        stop or stop_request(),
        keep=lambda epoch: after_epochs.append(tiny.model.get_weights()),
        **options,
    )
    best.after_epochs = after_epochs
    tiny.model.stop_training = False
    tiny.learner.fit_onecycle(rate, epochs, class_weight=class_weight, callbacks=[best, *callbacks], verbose=0)
    return best


def callback(**methods):
    import tensorflow as tf

    return type("Doing", (tf.keras.callbacks.Callback,), {name: staticmethod(method) for name, method in methods.items()})()


def equal(weights, others) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(weights, others, strict=True))


# -- the fit


@pytest.mark.slow
def test_a_fit_learns(training, tiny_checkpoint, monkeypatch, capsys):
    set_up = prepare(training, tiny_checkpoint, rows=480)
    passes = []
    predict = training.predict_logits
    monkeypatch.setattr(training, "predict_logits", lambda *arguments: passes.append(arguments) or predict(*arguments))
    best = fit(training, set_up, score_by(set_up.truth), epochs=8, rate=5e-3)

    losses = [row["train_loss"] for row in best.rows]
    assert losses[-1] < 0.6 * losses[0]
    assert max(row["val_accuracy"] for row in best.rows) > 0.6  # guessing gives 0.33
    assert [row["epoch"] for row in best.rows] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert all(row["seconds"] > 0 for row in best.rows)
    assert len(passes) == 8, "one pass over validation an epoch"
    assert set_up.model.test_function is None, "and none by Keras beside it"
    assert capsys.readouterr().out.count("train loss") == 8


@pytest.mark.slow
def test_a_model_whose_details_the_graph_does_not_know_is_trained_as_it_is(training, tiny_distilbert, monkeypatch):
    monkeypatch.setattr(training.keras_forward, "supports", lambda model: False)
    set_up = prepare(training, tiny_distilbert, rows=480)
    best = fit(training, set_up, score_by(set_up.truth), epochs=6, rate=5e-3)
    assert best.rows[-1]["train_loss"] < 0.8 * best.rows[0]["train_loss"]
    expected = set_up.model.predict(set_up.validation.to_tfdataset(train=False), verbose=0).logits
    np.testing.assert_allclose(training.predict_logits(set_up.model, set_up.validation, ""), expected, atol=1e-5)


def test_rate_and_momentum_go_through_one_cycle(training, tiny):
    best = fit(training, tiny, score_by(tiny.truth), epochs=2, rate=1e-3)
    assert [len(times) for times in best.step_ends] == [STEPS, STEPS]
    assert len(best.learning_rates) == len(best.momenta) == 2 * STEPS
    peak = int(np.argmax(best.learning_rates))
    assert 0.7e-3 < best.learning_rates[peak] <= 1.0001e-3
    assert abs(peak - STEPS) <= 1
    assert best.learning_rates[0] == pytest.approx(1e-4, rel=0.3)
    assert np.all(np.diff(best.learning_rates[: peak + 1]) > 0) and np.all(np.diff(best.learning_rates[peak:]) < 0)
    assert min(best.momenta) == pytest.approx(0.85, abs=0.02) and max(best.momenta) == pytest.approx(0.95, abs=0.01)


def test_every_row_is_trained_on_once_an_epoch(training, tiny):
    # At a rate of almost nothing the mean loss of an epoch is that of the rows, each counted once.
    best = fit(training, tiny, score_by(tiny.truth), epochs=1, rate=1e-12)
    logits = training.predict_logits(tiny.model, tiny.train, "")
    expected = score_by(tiny.train.y.argmax(axis=1))(logits)["val_loss"]
    assert best.rows[0]["train_loss"] == pytest.approx(expected, rel=1e-4)


def test_class_weights_weigh_the_loss(training, tiny):
    best = fit(training, tiny, score_by(tiny.truth), epochs=1, rate=1e-12, class_weight={0: 3.0, 1: 0.0, 2: 0.5})
    truth = tiny.train.y.argmax(axis=1)
    probabilities = softmax(training.predict_logits(tiny.model, tiny.train, ""))
    losses = -np.log(probabilities[np.arange(TRAIN_ROWS), truth])
    expected = (np.array([3.0, 0.0, 0.5])[truth] * losses).mean()
    assert best.rows[0]["train_loss"] == pytest.approx(expected, rel=1e-4)


def test_balanced_class_weights_are_those_of_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    truth = np.array([0] * 7 + [1] * 2 + [2] * 11)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=truth)
    found = [
        tasks.class_weights("multiclass", SimpleNamespace(class_weights=how), np.eye(3)[truth]) for how in ("balanced", None)
    ]
    assert found == [pytest.approx(dict(enumerate(expected))), None]


# -- any number of labels


def random_labels(rows: int = 40, labels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """0/1 truth, with rows of none and of many, and logits, both (rows, labels) float32."""
    generator = np.random.default_rng(0)
    truth = (generator.random((rows, labels)) < np.linspace(0.1, 0.6, labels)).astype(np.float32)
    return truth, generator.normal(0, 3, truth.shape).astype(np.float32)


def test_sigmoid_crossentropy_is_that_of_keras(training):
    import tensorflow as tf

    truth, logits = random_labels()
    expected = tf.keras.losses.BinaryCrossentropy(from_logits=True)
    for sample_weight in (None, np.linspace(0, 2, len(truth), dtype=np.float32)):
        found = training.SigmoidCrossentropy()(truth, logits, sample_weight)
        assert float(found) == pytest.approx(float(expected(truth, logits, sample_weight)), rel=1e-5)
    certain = np.array([[1000.0, -1000.0]], np.float32)
    assert float(training.SigmoidCrossentropy()(np.array([[0.0, 1.0]], np.float32), certain)) == pytest.approx(1000)


def test_positive_weights_weigh_the_labels_that_a_text_has(training):
    truth = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    logits = np.log(np.array([[3, 1], [1, 3], [1 / 3, 1]], np.float32))  # probabilities: 3/4, 1/2; 1/2, 3/4; 1/4, 1/2
    losses = training.SigmoidCrossentropy(np.array([2.0, 5.0])).call(truth, logits)
    expected = [
        (2 * math.log(4 / 3) + math.log(2)) / 2,
        (math.log(2) + 5 * math.log(4 / 3)) / 2,
        (2 * math.log(4) + 5 * math.log(2)) / 2,
    ]
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


def test_balancing_weights_make_both_sides_of_a_label_pull_alike(training):
    import tensorflow as tf

    truth, _ = random_labels()
    weights = tasks.balancing_weights(truth)
    np.testing.assert_allclose(weights, [(40 - rows) / rows for rows in truth.sum(axis=0)])
    pulls = {}
    for name, loss in (("plain", training.SigmoidCrossentropy()), ("balanced", training.SigmoidCrossentropy(weights))):
        logits = tf.Variable(tf.fill(truth.shape, 1e-6))  # at 0 itself TensorFlow's weighted loss has a kink
        with tf.GradientTape() as tape:
            value = loss(truth, logits)
        pulls[name] = tape.gradient(value, logits).numpy()
    # Every answer is a half: a row that has the label pulls up by half its weight, one that lacks it down by a half.
    np.testing.assert_allclose(pulls["balanced"], np.where(truth > 0, -weights, 1) / 2 / truth.size, rtol=1e-4)
    np.testing.assert_allclose(pulls["balanced"].sum(axis=0), 0, atol=1e-6)
    assert (np.abs(pulls["plain"].sum(axis=0)) > 0.01).any()


def test_a_fit_goes_by_the_weighed_loss(training, tiny_distilbert):
    """At a rate of almost nothing the mean loss of an epoch is that of the rows, each counted once."""
    from halfbert.models.ktrain_data import Transformer

    truth, _ = random_labels(rows=48)
    transformer = Transformer(tiny_distilbert, maxlen=16, class_names=list(LABELS), multilabel=True)
    for name in ("dropout", "attention_dropout", "seq_classif_dropout"):
        setattr(transformer.config, name, 0.0)
    data = transformer.preprocess_train([text for text, _ in example_rows(48)], truth.astype(int), verbose=0)
    model = transformer.get_classifier()
    weights = tasks.balancing_weights(truth)
    training.compile_model(model, "cpu", loss=training.SigmoidCrossentropy(weights))
    set_up = SimpleNamespace(model=model, validation=data, learner=training.get_learner(model, data, BATCH_SIZE))
    best = fit(training, set_up, told((0.5, 1.0)), epochs=1, rate=1e-12)
    logits = training.predict_logits(model, data, "").astype(np.float64)
    expected = np.where(truth > 0, weights * np.logaddexp(0, -logits), np.logaddexp(0, logits)).mean()
    assert best.rows[0]["train_loss"] == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(best.best_logits, logits, atol=1e-6)


def test_each_model_has_an_optimizer_of_its_own(training, tiny_distilbert):
    from halfbert.models.ktrain_data import Transformer

    transformer = Transformer(tiny_distilbert, maxlen=8, class_names=list(LABELS))
    transformer.preprocess_train(["the cat", "a soup"], np.array([0, 1]), verbose=0)
    models = [transformer.get_classifier() for _ in range(2)]
    for model, weight_decay in zip(models, (0.0, 0.25), strict=True):
        training.compile_model(model, "cpu", weight_decay)
    assert models[0].optimizer is not models[1].optimizer
    assert [model.optimizer.weight_decay for model in models] == [0.0, 0.25]


# -- the best epoch


def test_the_best_epoch_is_kept_and_not_the_last(training, tiny, capsys):
    best = fit(training, tiny, told((0.2, 1.0), (0.9, 1.0), (0.5, 0.1)), epochs=3)
    assert best.best_epoch == 2
    assert equal(best.best_weights, best.after_epochs[1])
    assert not equal(best.best_weights, tiny.model.get_weights())
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert ["(kept)" in line for line in lines] == [True, True, False]
    tiny.model.set_weights(best.best_weights)
    np.testing.assert_allclose(best.best_logits, training.predict_logits(tiny.model, tiny.validation, ""), atol=1e-5)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([(0.5, 1.0), (0.5, 0.8), (0.5, 0.9)], 3),  # equal scores: the last, whatever the loss
        ([(0.83, 1.0), (0.9, 0.5), (0.87, 0.8)], 3),  # within a standard error, 0.045 of 48 rows
        ([(0.83, 1.0), (0.9, 0.5), (0.84, 0.1)], 2),  # more than that below the highest
        ([(0.9, 1.0), (0.86, 0.5), (0.82, 0.1)], 2),  # the highest score counts, not that of the epoch kept
        ([(None, 1.0), (None, 0.5), (None, 0.8)], 2),  # no score: the lowest loss
    ],
)
def test_of_epochs_within_a_standard_error_of_the_highest_score_the_last_is_kept(training, tiny, scores, expected):
    best = fit(training, tiny, told(*scores), epochs=3)
    assert best.best_epoch == expected
    assert equal(best.best_weights, best.after_epochs[expected - 1])


def test_validation_is_scored_with_the_weights_at_the_end_of_the_epoch(training, tiny):
    best = fit(training, tiny, score_by(tiny.truth), epochs=2, rate=3e-3)
    for row, weights in zip(best.rows, best.after_epochs, strict=True):
        tiny.model.set_weights(weights)
        logits = tiny.model.predict(tiny.validation.to_tfdataset(train=False), verbose=0).logits
        assert score_by(tiny.truth)(logits)["val_loss"] == pytest.approx(row["val_loss"], rel=1e-4)


# -- what ends a fit early


@pytest.mark.parametrize(
    ("model", "rate", "which"), [("bert", 1e30, "training loss"), ("distilbert", 1e30, None), ("distilbert", 1e6, None)]
)
def test_a_fit_that_diverges_is_stopped(training, model, rate, which, request):
    """DistilBERT's ReLU turns NaN into 0 on a CPU, so that the losses can stay finite while the weights do not."""
    set_up = prepare(training, request.getfixturevalue(f"tiny_{model}"))
    with pytest.raises(training.Diverged, match=which):
        fit(training, set_up, score_by(set_up.truth), epochs=2, rate=rate)


def test_an_infinite_validation_loss_ends_the_fit(training, tiny):
    with pytest.raises(training.Diverged, match="the validation loss became nan after epoch 2"):
        fit(training, tiny, told((0.5, 1.0), (0.5, math.nan)), epochs=3)


# -- predicting


@pytest.mark.parametrize("tokens", [1, 64, 10**9])
def test_answers_are_equal_whatever_the_batch(training, tiny, monkeypatch, tokens):
    expected = tiny.model.predict(tiny.validation.to_tfdataset(train=False), verbose=0).logits
    monkeypatch.setattr(training, "TOKENS_PER_PREDICTED_BATCH", tokens)
    answers = training.predict_logits(tiny.model, tiny.validation, "")
    assert (answers.dtype, answers.shape) == (np.float32, (VALIDATION_ROWS, len(LABELS)))
    np.testing.assert_allclose(answers, expected, atol=1e-5)
    from_arrays = tiny.model.predict(
        dict(zip(("input_ids", "attention_mask"), tiny.validation.to_array(), strict=True)), verbose=0
    )
    np.testing.assert_allclose(answers, from_arrays.logits, atol=1e-5)


# -- temporary files, and the learning-rate finder


def test_the_learner_leaves_no_temporary_files(training, tiny, temporary_folder):
    training.get_learner(tiny.model, tiny.train, BATCH_SIZE)
    assert list(temporary_folder.iterdir()) == []
    assert tempfile.gettempdir() == str(temporary_folder)


@pytest.mark.slow
def test_the_rate_finder(training, tiny_distilbert, temporary_folder, capsys):
    # With seed 0 the first batch has so low a loss by chance that no later one falls below it.
    set_up = prepare(training, tiny_distilbert, weight_decay=0.1, seed=1)
    before = set_up.model.get_weights()
    from halfbert.training import rate_finder

    found = rate_finder.find_learning_rate(set_up.learner, set_up.model, "cpu", 0.1)

    assert equal(set_up.model.get_weights(), before), "the weights are put back"
    assert list(temporary_folder.iterdir()) == []
    assert len(found.rates) == len(found.losses) > 30
    assert np.all(np.diff(found.rates) > 0)
    assert min(found.rates) < found.suggestion < max(found.rates)
    assert max(found.losses) > 1.03 * min(found.losses), "the rate rises until the loss does"
    optimizer = set_up.model.optimizer
    assert int(optimizer.iterations) == 0 and optimizer.weight_decay == 0.1

    best = fit(training, set_up, score_by(set_up.truth), epochs=1)
    assert len(best.rows) == 1, "the learner goes on with the model as it was"
    assert "simulating" not in capsys.readouterr().out


@pytest.mark.slow
def test_the_rate_finder_on_fewer_rows_than_a_batch(training, tiny_distilbert):
    set_up = prepare(training, tiny_distilbert)
    learner = training.get_learner(set_up.model, set_up.validation, batch_size=VALIDATION_ROWS + 1)
    from halfbert.training import rate_finder

    found = rate_finder.find_learning_rate(learner, set_up.model, "cpu", 0.0)
    assert len(found.rates) == len(found.losses) > 30

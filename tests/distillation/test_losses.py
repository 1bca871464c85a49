"""Losses against hand-worked numbers, what the student learns from, the teacher's answers and their cache, its layers."""

import json

import numpy as np
import pytest
import tiny_predictors
from support import LABELS, write_checkpoint

from halfbert.distillation import teacher
from halfbert.models import batching, checkpoints
from halfbert.options import DistillOptions
from halfbert.predictor import manifest
from halfbert.scoring.probabilities import probabilities_of
from halfbert.system.errors import ArtefactError, InputError


@pytest.fixture(scope="module")
def losses(tensorflow_ready):
    from halfbert.distillation import losses

    return losses


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HALFBERT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "teacher-answers"


@pytest.fixture
def bert(tmp_path, tensorflow_ready) -> manifest.Predictor:
    return manifest.check(tiny_predictors.copy("bert", "multiclass", tmp_path / "teacher"))


def float32(*values) -> np.ndarray:
    return np.array(values, np.float32)


# At T = 2 the teacher answers 3/4 and 1/4, the student 1/2 each: 3/4 ln 3/2 + 1/4 ln 1/2 = 0.130812, times 4; at T = 1 the
# teacher answers 9/10: 0.9 ln 1.8 + 0.1 ln 0.2. With many labels each one's divergence is half as large or 0.
@pytest.mark.parametrize(
    ("name", "student", "target", "more", "expected"),
    [
        ("soft", [[0, 0], [5, 1]], [[2 * np.log(3), 0], [6, 2]], (2.0,), [0.523248, 0]),
        ("soft", [[0, 0], [5, 1]], [[2 * np.log(3), 0], [6, 2]], (1.0,), [0.368064, 0]),
        ("soft", [[0, 0], [-50, 50]], [[2 * np.log(3), 0], [-50, 50]], (2.0, True), [0.523248 / 2, 0]),
        ("supervised", [[0, np.log(3)]], [[0, 1]], (), [0.287682]),
        ("supervised", [[0, np.log(3)]], [[1, 1]], (True,), [(0.693147 + 0.287682) / 2]),
        ("cosine", [[1, 0], [1, 1], [0, 2]], [[3, 3], [2, 2], [0, -1]], (), [0.292893, 0, 2]),
    ],
)
def test_the_losses_by_hand(losses, name, student, target, more, expected):
    found = getattr(losses, f"{name}_loss")(float32(*student), float32(*target), *more)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("model", ["distilbert", "bert"])
@pytest.mark.parametrize("device", ["cpu", "gpu"])  # our own pass, and the stock one
def test_the_objective_is_the_weighted_sum_over_all_rows(losses, tmp_path, model, device):
    import tensorflow as tf

    from halfbert.models.ktrain_data import Transformer

    # Four rows, two of them labelled, a tiny model without dropout, the teacher's made-up answers.
    folder = write_checkpoint(tmp_path / model, model)
    config = json.loads((folder / "config.json").read_text())
    dropouts = ("dropout", "attention_dropout", "seq_classif_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob")
    still = dict.fromkeys(dropouts, 0.0)
    (folder / "config.json").write_text(json.dumps({**config, **still}))
    transformer = Transformer(folder, 16, list(LABELS))
    labelled = transformer.preprocess_train(["the old cat", "a new saw here"], np.eye(3)[[0, 2]], verbose=0)
    more, _ = batching.encode(transformer.get_tokenizer(), ["bread", "my rice was very old"], 16)
    rng = np.random.default_rng(0)
    predicted = teacher.Predictions(rng.normal(size=(4, 3)).astype("f"), rng.normal(size=(4, 32)).astype("f"))
    network = transformer.get_classifier()
    data = losses.training_set(labelled, more, predicted)
    assert data.nsamples() == 4 and data.encoded.lengths.tolist() == [5, 6, 3, 7]
    ids, mask = data.encoded.padded(np.arange(4))
    np.testing.assert_array_equal(ids[2:], np.pad(more.padded(np.arange(2))[0], ((0, 0), (0, ids.shape[1] - 7))))
    features = {"input_ids": tf.constant(ids), "attention_mask": tf.constant(mask)}
    weights = {"soft": 5.0, "supervised": 2.0, "cosine": 0.5}
    parts = losses.objective("multiclass", device, 3, weights, 2.0)(network, features, tf.constant(data.y), None)

    stock = network(features, output_hidden_states=True)
    states, logits = stock.hidden_states[-1][:, 0], stock.logits
    expected = {
        "soft": np.mean(losses.soft_loss(logits, predicted.logits, 2.0)),
        "supervised": np.sum(losses.supervised_loss(logits[:2], float32([1, 0, 0], [0, 0, 1]))) / 4,
        "cosine": np.mean(losses.cosine_loss(states, predicted.states)),
    }
    expected["loss"] = sum(weights[name] * part for name, part in expected.items())
    assert {name: float(part) for name, part in parts.items()} == pytest.approx(expected, abs=1e-5)

    only = losses.objective("multiclass", device, 3, {**weights, "soft": 0.0, "cosine": 0.0}, 2.0)
    parts = only(network, features, tf.constant(data.y), tf.constant([1.0, 0, 0, 0]))
    of_first = float(losses.supervised_loss(logits[:1], float32([1, 0, 0]))[0]) / 4
    assert {name: float(part) for name, part in parts.items()} == pytest.approx(
        {"supervised": of_first, "loss": 2 * of_first}, abs=1e-5
    )


def test_states_of_another_width_leave_the_cosine_out_and_say_so(losses, tmp_path, capsys):
    options = DistillOptions(teacher="bert")
    tiny = write_checkpoint(tmp_path / "student", "distilbert")
    checkpoint = checkpoints.Checkpoint("student", tiny, "distilbert", "0")
    narrow, wide = (teacher.Predictions(np.zeros((1, 3)), np.zeros((1, width))) for width in (32, 48))
    assert losses.applicable_weights(options, checkpoint, narrow)["cosine"] == 1.0
    assert losses.applicable_weights(options, checkpoint, wide) == {"soft": 5.0, "supervised": 2.0, "cosine": 0.0}
    assert "32 units, the teacher's 48" in capsys.readouterr().out
    options.weight_soft = 0.0
    with pytest.raises(InputError, match="nothing to learn"):
        losses.applicable_weights(options, checkpoint, wide)


def test_windows_leave_the_cosine_out_and_have_the_targets_of_their_text(losses, tmp_path, tiny_distilbert, tensorflow_ready):
    from halfbert.models.ktrain_data import Transformer

    options = DistillOptions(teacher="bert", long="windows")
    checkpoint = checkpoints.Checkpoint("student", tiny_distilbert, "distilbert", "0")
    predictions = teacher.Predictions(np.arange(12.0).reshape(3, 4)[:, :3], np.zeros((3, 32)))
    assert losses.applicable_weights(options, checkpoint, predictions)["cosine"] == 0.0
    options.long = "cut"
    assert losses.applicable_weights(options, checkpoint, predictions, "windows")["cosine"] == 0.0
    assert losses.applicable_weights(options, checkpoint, predictions, "head-tail")["cosine"] == 1.0
    transformer = Transformer(tiny_distilbert, 6, list(LABELS), way="windows")
    labelled = transformer.preprocess_train(["the cat is here and there", "a saw"], np.eye(3)[[0, 2]], verbose=0)
    more, _ = batching.encode(transformer.get_tokenizer(), ["bread and old soup and my cake"], 6, "windows")
    data = losses.training_set(labelled, more, predictions)
    assert data.encoded.windows.tolist() == [0, 2, 3, 5] and data.nsamples() == len(data.y) == 5
    assert data.y[:, :4].tolist() == [[1, 0, 0, 1], [1, 0, 0, 1], [0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert data.y[:, 4:7].tolist() == predictions.logits[[0, 0, 1, 2, 2]].tolist()


def test_layers_are_kept_as_published():
    assert teacher.layers_to_keep(12, None, None) == teacher.layers_to_keep(12, None, 6) == [0, 2, 4, 7, 9, 11]
    assert teacher.layers_to_keep(6, None, 3) == [0, 2, 5]
    assert teacher.layers_to_keep(2, None, None) == [0] and teacher.layers_to_keep(6, [5, 1], None) == [5, 1]
    for asked in ({"layers": [0, 6], "keep": None}, {"layers": [1, 1], "keep": None}, {"layers": None, "keep": 7}):
        with pytest.raises(InputError, match="layers 0 to 5"):
            teacher.layers_to_keep(6, **asked)


@pytest.mark.parametrize("engine", ["keras", "onnx"])
@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_predictions_are_those_of_the_engine_keras_in_the_given_order(kind, engine, tmp_path, cache, monkeypatch):
    import halfbert

    folder = tiny_predictors.copy(kind, "multiclass", tmp_path / "teacher")
    monkeypatch.setattr(teacher, "TEXTS_AT_A_TIME", 4)
    texts = [*tiny_predictors.TEXTS, tiny_predictors.TEXTS[2]]
    predicted = teacher.predict(manifest.check(folder), texts, engine, "cpu")
    assert predicted.states.shape == (len(texts), 32)
    expected = halfbert.load(folder, "keras").predict_proba(texts)
    np.testing.assert_allclose(probabilities_of(predicted.logits, "multiclass"), expected, atol=1e-4)
    first, others = predicted.split(3)
    assert np.array_equal(first.states, predicted.states[:3]) and np.array_equal(others.logits, predicted.logits[3:])


def test_nothing_is_predicted_twice_but_what_is_damaged_and_a_killed_run_goes_on(bert, cache, monkeypatch):
    predicted_texts, load_model = [], teacher._model

    def model(*arguments):
        predict = load_model(*arguments)

        def counted(texts):
            predicted_texts.append(len(texts))
            if len(predicted_texts) == 2:
                raise KeyboardInterrupt
            return predict(texts)

        return counted

    monkeypatch.setattr(teacher, "_model", model)
    monkeypatch.setattr(teacher, "TEXTS_AT_A_TIME", 4)
    texts = [f"{word} cat" for word in ["the", "a", "old", "new", "big", "small", "is", "was", "here", "there"]]
    with pytest.raises(KeyboardInterrupt):
        teacher.predict(bert, texts, "onnx", "cpu")
    once = teacher.predict(bert, texts, "onnx", "cpu")
    assert predicted_texts == [4, 4, 4, 2] and len(list(cache.iterdir())) == 3
    assert b"small" not in b"".join(file.read_bytes() for file in cache.iterdir())  # no text of the user's is stored
    again = teacher.predict(bert, texts[::-1], "onnx", "cpu")
    assert predicted_texts[4:] == [4, 4, 2]  # other parts
    np.testing.assert_allclose(again.logits[::-1], once.logits, atol=1e-4)
    file = sorted(cache.iterdir())[0]
    file.write_bytes(file.read_bytes()[:50])
    repeated = [teacher.predict(bert, given, "onnx", "cpu") for given in (texts, texts[::-1])]
    assert len(predicted_texts) == 8 and np.array_equal(repeated[0].logits, once.logits)


def test_a_folder_that_is_no_predictor_is_named(tmp_path, tiny_bert, bert):
    with pytest.raises(InputError, match="no such folder"):
        teacher.read(tmp_path / "nowhere")
    with pytest.raises(ArtefactError, match="no predictor"):
        teacher.read(tiny_bert)
    folder = bert.folder
    with pytest.raises(ArtefactError, match="trained on"):
        teacher.read(folder)
    data = {"files": [{"role": "train", "sha256": "0" * 64}], "split_seed": 3, "train_texts": "AAAA"}
    tiny_predictors.change_manifest(folder, data=data, checkpoint={"name": "tiny"})
    with pytest.raises(ArtefactError, match="digests"):
        teacher.read(folder)
    (folder / "tf_model.h5").write_bytes(b"something else")
    with pytest.raises(ArtefactError, match="altered"):
        teacher.read(folder)

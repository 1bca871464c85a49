"""Losses against hand-worked numbers, what the student learns from, the teacher's answers and their cache, its layers."""

import json

import numpy as np
import pytest
import tiny_predictors
from support import LABELS, write_checkpoint

from halfbert.distillation import teacher
from halfbert.models import checkpoints
from halfbert.system.errors import ArtefactError, InputError

TRAINED_ON = {"files": [{"role": "train", "sha256": "0" * 64}], "split_seed": 3}


@pytest.fixture(scope="module")
def distillation(tensorflow_ready):
    from halfbert.distillation import losses as distillation

    return distillation


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HALFBERT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "teacher-answers"


@pytest.fixture
def taught_by(tmp_path, tensorflow_ready) -> teacher.Teacher:
    folder = tiny_predictors.copy("bert", "multiclass", tmp_path / "teacher")
    tiny_predictors.change_manifest(folder, data=TRAINED_ON, checkpoint={"name": "tiny"})
    return teacher.read(folder)


def float32(*values) -> np.ndarray:
    return np.array(values, np.float32)


# Losses.


def test_soft_loss_is_the_divergence_at_the_temperature(distillation):
    """At T = 2 the teacher answers 3/4 and 1/4, the student 1/2 each: 3/4 ln 3/2 + 1/4 ln 1/2 = 0.130812, times 4."""
    student, teacher = float32([0, 0], [5, 1]), float32([2 * np.log(3), 0], [6, 2])
    np.testing.assert_allclose(distillation.soft_loss(student, teacher, 2.0), [0.523248, 0], atol=1e-5)
    # At T = 1 the first teacher answers 9/10: 0.9 ln 1.8 + 0.1 ln 0.2.
    np.testing.assert_allclose(distillation.soft_loss(student, teacher, 1.0), [0.368064, 0], atol=1e-5)


def test_soft_loss_of_many_labels_is_the_mean_of_each_ones(distillation):
    student, teacher = float32([0, 0], [-50, 50]), float32([2 * np.log(3), 0], [-50, 50])
    found = distillation.soft_loss(student, teacher, 2.0, multilabel=True)
    np.testing.assert_allclose(found, [0.523248 / 2, 0], atol=1e-5)


def test_supervised_loss_is_the_cross_entropy(distillation):
    logits = float32([0, np.log(3)])
    np.testing.assert_allclose(distillation.supervised_loss(logits, float32([0, 1])), [0.287682], atol=1e-5)
    both = distillation.supervised_loss(logits, float32([1, 1]), multilabel=True)
    np.testing.assert_allclose(both, [(0.693147 + 0.287682) / 2], atol=1e-5)


def test_cosine_loss_is_of_directions_alone(distillation):
    student, teacher = float32([1, 0], [1, 1], [0, 2]), float32([3, 3], [2, 2], [0, -1])
    np.testing.assert_allclose(distillation.cosine_loss(student, teacher), [0.292893, 0, 2], atol=1e-5)


# What the student learns from.


def rows_to_learn(tmp_path, model="distilbert"):
    """Four rows, two of them labelled, a tiny model without dropout, the teacher's made-up answers."""
    from halfbert.models import batching
    from halfbert.models.ktrain_data import Transformer

    folder = write_checkpoint(tmp_path / model, model)
    config = json.loads((folder / "config.json").read_text())
    still = {name: 0.0 for name in config if "dropout" in name} | {"seq_classif_dropout": 0.0}
    (folder / "config.json").write_text(json.dumps({**config, **still}))
    transformer = Transformer(folder, 16, list(LABELS))
    labelled = transformer.preprocess_train(["the old cat", "a new saw here"], np.eye(3)[[0, 2]], verbose=0)
    more, _ = batching.encode(transformer.get_tokenizer(), ["bread", "my rice was very old"], 16)
    chance = np.random.default_rng(0)
    told = teacher.Answers(chance.normal(size=(4, 3)).astype("f"), chance.normal(size=(4, 32)).astype("f"), "keras")
    return transformer.get_classifier(), labelled, more, told


@pytest.mark.parametrize("model", ["distilbert", "bert"])
@pytest.mark.parametrize("device", ["cpu", "gpu"])  # our own pass, and the stock one
def test_the_objective_is_the_weighted_sum_over_all_rows(distillation, tmp_path, model, device):
    import tensorflow as tf

    from halfbert.training import fit as training

    network, labelled, more, told = rows_to_learn(tmp_path, model)
    data = distillation.taught(labelled, more, told)
    assert data.nsamples() == 4 and data.encoded.lengths.tolist() == [5, 6, 3, 7]
    ids, mask = data.encoded.padded(np.arange(4))
    np.testing.assert_array_equal(ids[2:], np.pad(more.padded(np.arange(2))[0], ((0, 0), (0, ids.shape[1] - 7))))
    features = {"input_ids": tf.constant(ids), "attention_mask": tf.constant(mask)}
    weights = {"soft": 5.0, "supervised": 2.0, "cosine": 0.5}
    parts = distillation.objective("multiclass", device, 3, weights, 2.0)(network, features, tf.constant(data.y), None)

    stock = network(features, output_hidden_states=True)
    states, logits = stock.hidden_states[-1][:, 0], stock.logits
    expected = {
        "soft": np.mean(distillation.soft_loss(logits, told.logits, 2.0)),
        "supervised": np.sum(distillation.supervised_loss(logits[:2], float32([1, 0, 0], [0, 0, 1]))) / 4,
        "cosine": np.mean(distillation.cosine_loss(states, told.states)),
    }
    expected["loss"] = sum(weights[name] * part for name, part in expected.items())
    assert {name: float(part) for name, part in parts.items()} == pytest.approx(expected, abs=1e-5)

    only = distillation.objective("multiclass", device, 3, {**weights, "soft": 0.0, "cosine": 0.0}, 2.0)
    parts = only(network, features, tf.constant(data.y), tf.constant([1.0, 0, 0, 0]))
    of_first = float(distillation.supervised_loss(logits[:1], float32([1, 0, 0]))[0]) / 4
    assert {name: float(part) for name, part in parts.items()} == pytest.approx(
        {"supervised": of_first, "loss": 2 * of_first}, abs=1e-5
    )
    assert training.states_and_logits(network, device)(features, training=False)[0].shape == (4, 32)


def test_states_of_another_width_leave_the_cosine_out_and_say_so(distillation, tmp_path, capsys):
    from types import SimpleNamespace

    options = SimpleNamespace(weight_soft=5.0, weight_supervised=2.0, weight_cosine=1.0)
    tiny = write_checkpoint(tmp_path / "student", "distilbert")
    checkpoint = checkpoints.Checkpoint("student", tiny, "distilbert", "0")
    narrow, wide = (teacher.Answers(np.zeros((1, 3)), np.zeros((1, width)), "keras") for width in (32, 48))
    assert distillation.weights_in_force(options, checkpoint, narrow)["cosine"] == 1.0
    assert distillation.weights_in_force(options, checkpoint, wide) == {"soft": 5.0, "supervised": 2.0, "cosine": 0.0}
    assert "32 units, the teacher's 48" in capsys.readouterr().out
    options.weight_soft = 0.0
    with pytest.raises(InputError, match="teaches nothing"):
        distillation.weights_in_force(options, checkpoint, wide)


# The teacher.


def test_layers_are_kept_as_published():
    assert teacher.layers_to_keep(12, None, None) == teacher.layers_to_keep(12, None, 6) == [0, 2, 4, 7, 9, 11]
    assert teacher.layers_to_keep(6, None, 3) == [0, 2, 5]
    assert teacher.layers_to_keep(2, None, None) == [0] and teacher.layers_to_keep(6, [5, 1], None) == [5, 1]
    for asked in ({"layers": [0, 6], "keep": None}, {"layers": [1, 1], "keep": None}, {"layers": None, "keep": 7}):
        with pytest.raises(InputError, match="layers 0 to 5"):
            teacher.layers_to_keep(6, **asked)


@pytest.mark.parametrize("engine", ["keras", "onnx"])
@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_answers_are_those_of_keras_in_the_order_asked(kind, engine, tmp_path, cache, monkeypatch, tensorflow_ready):
    from halfbert.predictor import agreement
    from halfbert.predictor.classifier import load
    from halfbert.scoring.probabilities import probabilities_of

    folder = tiny_predictors.copy(kind, "multiclass", tmp_path / "teacher")
    tiny_predictors.change_manifest(folder, data=TRAINED_ON, checkpoint={"name": "tiny"})
    monkeypatch.setattr(agreement, "fastest", lambda predictor, device: engine)
    monkeypatch.setattr(teacher, "TEXTS_AT_A_TIME", 4)
    texts = [*tiny_predictors.TEXTS, tiny_predictors.TEXTS[2]]
    told = teacher.answers(teacher.read(folder), texts, "cpu")
    assert told.engine == engine and told.states.shape == (len(texts), 32)
    expected = load(folder, "keras").predict_proba(texts)
    np.testing.assert_allclose(probabilities_of(told.logits, "multiclass"), expected, atol=1e-4)
    first, others = told.split(3)
    assert np.array_equal(first.states, told.states[:3]) and np.array_equal(others.logits, told.logits[3:])


def test_answers_are_asked_for_once_and_what_is_damaged_is_asked_again(taught_by, cache, monkeypatch):
    asked = []
    true_answering = teacher._answering

    def answering(*arguments):
        answer = true_answering(*arguments)
        return lambda texts: asked.append(len(texts)) or answer(texts)

    monkeypatch.setattr(teacher, "_answering", answering)
    monkeypatch.setattr(teacher, "TEXTS_AT_A_TIME", 4)
    texts = [f"{word} cat" for word in ["the", "a", "old", "new", "big", "small", "is", "was", "here", "there"]]
    once = teacher.answers(taught_by, texts, "cpu")
    assert asked == [4, 4, 2] and len(list(cache.iterdir())) == 3
    content = b"".join(file.read_bytes() for file in cache.iterdir())
    assert b"small" not in content  # no text of the user's stays there
    again = teacher.answers(taught_by, texts[::-1], "cpu")
    assert asked[3:] == [4, 4, 2]  # other parts
    np.testing.assert_allclose(again.logits[::-1], once.logits, atol=1e-4)
    del asked[:]
    file = sorted(cache.iterdir())[0]
    file.write_bytes(file.read_bytes()[:50])
    repeated = [teacher.answers(taught_by, texts, "cpu"), teacher.answers(taught_by, texts[::-1], "cpu")]
    assert len(asked) == 1 and np.array_equal(repeated[0].logits, once.logits)


def test_a_killed_run_asks_only_for_the_rest(taught_by, cache, monkeypatch):
    monkeypatch.setattr(teacher, "TEXTS_AT_A_TIME", 2)
    asked = []

    def answering(*_):
        def answer(texts):
            asked.append(texts)
            if len(asked) == 2:
                raise KeyboardInterrupt
            return {"logits": np.ones((len(texts), 3), "f"), "states": np.ones((len(texts), 32), np.float16)}

        return answer

    monkeypatch.setattr(teacher, "_answering", answering)
    with pytest.raises(KeyboardInterrupt):
        teacher.answers(taught_by, ["a", "b", "c", "d"], "cpu")
    teacher.answers(taught_by, ["a", "b", "c", "d"], "cpu")
    assert asked == [["a", "b"], ["c", "d"], ["c", "d"]]


def test_a_folder_that_is_no_predictor_is_named(tmp_path, tiny_bert, taught_by):
    with pytest.raises(InputError, match="no such folder"):
        teacher.read(tmp_path / "nowhere")
    with pytest.raises(ArtefactError, match="no predictor"):
        teacher.read(tiny_bert)
    folder = taught_by.predictor.folder
    tiny_predictors.change_manifest(folder, data={"files": []})
    with pytest.raises(ArtefactError, match="trained on"):
        teacher.read(folder)
    (folder / "tf_model.h5").write_bytes(b"something else")
    with pytest.raises(ArtefactError, match="altered"):
        teacher.read(folder)

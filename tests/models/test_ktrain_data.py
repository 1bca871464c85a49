"""ktrain's `text.Transformer` with batched tokenising, held against plain ktrain's."""

import itertools
import pickle
import pickletools

import numpy as np
import pytest
from support import LABELS, example_rows

from halfbert.scoring.probabilities import softmax

pytestmark = pytest.mark.usefixtures("tensorflow_ready")
UNUSUAL_TEXTS = ["", "the cat!", "Zoë 😀 cat", "cat " * 40, "hammer\tSAW\naxe", "[SEP] dog", "unknownword ."]


@pytest.fixture(scope="module")
def preprocessing(tensorflow_ready):
    from halfbert.models import ktrain_data as preprocessing

    return preprocessing


@pytest.fixture(scope="module")
def rows() -> tuple[list[str], np.ndarray]:
    """Texts with the numbers of their labels."""
    texts, labels = zip(*example_rows(50), strict=True)
    return [*texts, *UNUSUAL_TEXTS], np.array([*map(LABELS.index, labels), 0, 1, 2, 0, 1, 2, 0])


@pytest.fixture(scope="module")
def transformer_and_data(preprocessing, tiny_checkpoint, rows):
    """Our Transformer and the data set it made of the rows."""
    transformer = preprocessing.Transformer(tiny_checkpoint, maxlen=12, class_names=list(LABELS))
    return transformer, transformer.preprocess_train(*rows, verbose=0)


@pytest.fixture
def rows_of(transformer_and_data):
    """From a batch's features to the numbers of the data set's rows, known by their token ids."""
    encoded = transformer_and_data[1].encoded
    texts = [tuple(encoded.ids[start:end]) for start, end in itertools.pairwise(encoded.starts)]
    known = {ids: row for row, ids in enumerate(texts)}

    def rows_of(features) -> list[int]:
        ids, mask = features["input_ids"], features["attention_mask"]
        assert ids.dtype == mask.dtype == np.int32
        return [known[tuple(row[kept == 1])] for row, kept in zip(ids, mask, strict=True)]

    return rows_of


def same_as_ktrain(ours, plain) -> None:
    ids, mask, *token_types = ours.to_array()
    longest = ours.encoded.lengths.max()
    assert len(token_types) == ours.use_token_type_ids and ids.shape == mask.shape == (ours.nsamples(), longest)
    assert np.array_equal(plain.x[:, 0, :longest], ids)
    assert np.array_equal(plain.x[:, 1, :longest], mask)
    assert not plain.x[:, :, longest:].any()
    # ktrain may leave out BERT's token types (it looks for the name in a wrapped function): the model then takes zeros.
    assert not plain.x[:, 2].any()
    assert not any(values.any() or values.shape != ids.shape for values in token_types)
    assert np.array_equal(ours.y, plain.y)
    assert (ours.nsamples(), ours.nclasses()) == (plain.nsamples(), plain.nclasses())


def test_rows_are_as_plain_ktrain_makes_them(preprocessing, transformer_and_data, tiny_checkpoint, rows):
    transformer, data = transformer_and_data
    plain = preprocessing.text.Transformer(str(tiny_checkpoint), maxlen=12, class_names=list(LABELS))
    same_as_ktrain(data, plain.preprocess_train(*rows, verbose=0))
    for further in [(rows[0][::-2], rows[1][::-2]), (rows[0][:10],)]:  # which need no labels
        ours = transformer.preprocess_test(*further, verbose=0)
        for other in (plain, transformer.for_predictor()):
            same_as_ktrain(ours, other.preprocess_test(*further, verbose=0))
        assert (ours.nsamples(), ours.nclasses()) == (len(further[0]), len(LABELS))


def test_automatic_maxlen_comes_from_the_training_texts_only(preprocessing, tiny_checkpoint):
    transformer = preprocessing.Transformer(tiny_checkpoint, maxlen=None, class_names=["a", "b"])
    transformer.preprocess_train(["the cat", "a dog"], np.array([0, 1]), verbose=0)
    assert transformer.maxlen == 4
    assert transformer.preprocess_test(["the old cat is here"], verbose=0).encoded.lengths.tolist() == [4]


@pytest.mark.parametrize("multiple", [1, 8])
@pytest.mark.parametrize("batch_size", [16, 57, 100])
def test_training_batches_hold_each_row_once_an_epoch(transformer_and_data, rows_of, batch_size, multiple):
    transformer, data = transformer_and_data
    data.batch_size, data.epochs, data.seed, data.pad_to_multiple_of = batch_size, 3, 0, multiple
    orders = []
    batches = iter(data.to_tfdataset(train=True).as_numpy_iterator())
    for _ in range(data.epochs):
        order = []
        for features, labels in itertools.islice(batches, len(data)):
            ids, mask = features["input_ids"], features["attention_mask"]
            token_types = {"token_type_ids"} if transformer.name == "bert" else set()
            assert set(features) == {"input_ids", "attention_mask"} | token_types
            for name in token_types:
                assert features[name].shape == ids.shape and features[name].dtype == np.int32 and not features[name].any()
            batch = rows_of(features)
            longest = data.encoded.lengths[batch].max()
            assert ids.shape == mask.shape == (len(batch), -(-longest // multiple) * multiple)
            assert np.array_equal(mask, np.arange(ids.shape[1]) < data.encoded.lengths[batch][:, None])
            assert not ids[mask == 0].any()
            assert labels.dtype == np.float32 and np.array_equal(labels, data.y[batch])
            order += batch
        assert sorted(order) == list(range(data.nsamples()))
        orders.append(order)
    assert len({tuple(order) for order in orders}) == data.epochs
    again = [ids for features, _ in itertools.islice(batches, len(data)) for ids in features["input_ids"]]
    assert len(again) == data.nsamples(), "the batches go on after the epochs that were laid out"


def test_training_batches_repeat_with_the_seed(transformer_and_data):
    data = transformer_and_data[1]
    data.batch_size, data.epochs = 8, 2
    layouts = []
    for seed in (3, 3, 4):
        data.seed = seed
        layouts.append(data.layout(train=True))
    assert np.array_equal(layouts[0], layouts[1])
    assert not np.array_equal(layouts[0], layouts[2])
    assert not np.array_equal(*np.split(layouts[0], 2)), "the second epoch has an order of its own"


def test_batches_of_a_fixed_shape_weigh_what_only_fills_them_with_nothing(transformer_and_data, rows_of, monkeypatch):
    data = transformer_and_data[1]
    data.batch_size, data.epochs, data.pad_to_multiple_of = 16, 1, 1
    monkeypatch.setattr(data, "fixed_length", 24)
    weighed = []
    for features, labels, weights in itertools.islice(data.to_tfdataset(train=True).as_numpy_iterator(), len(data)):
        assert all(values.shape == (16, 24) and values.dtype == np.int32 for values in features.values())
        assert (labels.shape, weights.dtype) == ((16, len(LABELS)), np.float32)
        filled = np.count_nonzero(weights)
        np.testing.assert_allclose(weights[weights > 0], 16 / filled, rtol=1e-6)  # the mean over 16 is that over the rows
        batch = rows_of(features)
        assert np.array_equal(labels, data.y[batch])
        weighed += [row for row, weight in zip(batch, weights, strict=True) if weight]
    assert sorted(weighed) == list(range(data.nsamples()))


@pytest.mark.parametrize("batch_size", [16, 57, 100])
def test_other_batches_are_in_order_once(transformer_and_data, rows_of, batch_size):
    data = transformer_and_data[1]
    data.batch_size, data.pad_to_multiple_of = batch_size, 1
    batches = list(data.to_tfdataset(train=False).as_numpy_iterator())
    assert [row for features, _ in batches for row in rows_of(features)] == list(range(data.nsamples()))
    assert np.array_equal(np.concatenate([labels for _, labels in batches]), data.y)
    assert len(batches) == len(data) == -(-data.nsamples() // batch_size)


def test_the_input_pipeline_runs_no_python_and_no_tuner(transformer_and_data):
    from tensorflow.core.framework import graph_pb2

    batches = transformer_and_data[1].to_tfdataset(train=True)
    # tf.data's tuner sleeps between its looks, and whoever drops the batches waits until it wakes.
    assert batches.options().autotune.enabled is False
    graph = graph_pb2.GraphDef.FromString(batches._as_serialized_graph().numpy())
    operations = {node.op for nodes in (graph.node, *(f.node_def for f in graph.library.function)) for node in nodes}
    assert "TensorSliceDataset" in operations
    assert not {name for name in operations if "PyFunc" in name or "Generator" in name}


@pytest.mark.filterwarnings("error:The multilabel")
@pytest.mark.parametrize(("multilabel", "labels"), [(False, [[1, 1, 0], [0, 1, 1]]), (True, [[1, 0, 0], [0, 1, 0]])])
def test_the_task_is_what_was_stated_whatever_the_rows_look_like(preprocessing, tiny_distilbert, multilabel, labels):
    """ktrain neither guesses it nor warns that the rows look like the other one."""
    transformer = preprocessing.Transformer(tiny_distilbert, maxlen=8, class_names=list(LABELS), multilabel=multilabel)
    data = transformer.preprocess_train(["the cat", "a dog"], np.array(labels), verbose=0)
    assert transformer.multilabel is transformer.for_predictor().multilabel is multilabel
    assert data.y.tolist() == labels
    config = transformer.get_classifier().config
    assert config.problem_type == ("multi_label_classification" if multilabel else "single_label_classification")
    assert config.id2label == dict(enumerate(LABELS)) and config.num_labels == len(LABELS)
    assert config.label2id == {label: number for number, label in enumerate(LABELS)}


def test_ktrain_chooses_its_learner_for_transformers(preprocessing, transformer_and_data):
    from ktrain.text.learner import TransformerTextClassLearner

    from halfbert.training import fit as training

    transformer, data = transformer_and_data
    model = transformer.get_classifier()
    training.compile_model(model, "cpu")
    learner = training.get_learner(model, data, batch_size=8)
    assert type(learner) is TransformerTextClassLearner
    assert (learner.train_data, data.batch_size) == (data, 8)
    further = transformer.preprocess_test(["the cat", "my old saw is here", "very big soup"], np.array([0, 2, 1]), verbose=0)
    expected = softmax(training.predict_logits(model, further, ""))
    assert learner.predict(further) == pytest.approx(expected, abs=1e-5)


def test_the_pickle_for_a_predictor_names_neither_this_project_nor_a_path(preprocessing, transformer_and_data, tiny_checkpoint):
    transformer, _ = transformer_and_data
    pickled = pickle.dumps(transformer.for_predictor(), protocol=2, fix_imports=False)
    arguments = [(opcode.name, argument) for opcode, argument, _ in pickletools.genops(pickled)]
    named = {argument for opcode, argument in arguments if opcode == "GLOBAL"}
    packages = {name.partition(" ")[0].partition(".")[0] for name in named}
    assert packages <= {"ktrain", "transformers", "sklearn", "numpy", "builtins", "copyreg", "collections", "_codecs"}
    assert "ktrain.text.preprocessor Transformer" in named
    strings = [argument for _, argument in arguments if isinstance(argument, str)]
    assert not [string for string in strings if "halfbert" in string or str(tiny_checkpoint.parent) in string]
    loaded = pickle.loads(pickled)
    assert type(loaded).__module__ == "ktrain.text.preprocessor"
    assert (loaded.get_classes(), loaded.maxlen, loaded.multilabel) == (list(LABELS), 12, False)
    # Making the object changes nothing.
    assert type(transformer) is preprocessing.Transformer and transformer.model_name == str(tiny_checkpoint)


@pytest.mark.parametrize("fixed", [None, 6])
@pytest.mark.parametrize("multilabel", [False, True])
def test_windows_have_the_labels_of_their_text_and_all_texts_weigh_alike(preprocessing, tiny_checkpoint, multilabel, fixed):
    transformer = preprocessing.Transformer(tiny_checkpoint, 6, list(LABELS), multilabel, way="windows")
    texts = ["the old cat is here and there was", "a dog", "my new big saw is old and very small"]
    y = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1]]) if multilabel else np.array([2, 0, 1])
    data = transformer.preprocess_train(texts, y, verbose=0)
    counts = np.diff(data.encoded.windows)
    assert counts.tolist() == [3, 1, 3] and data.nsamples() == 7
    of_texts = y if multilabel else np.eye(3)[y]
    assert np.array_equal(data.y, np.repeat(of_texts, counts, axis=0))
    data.batch_size, data.fixed_length = 5, fixed
    assert data.to_tfdataset(train=True).element_spec[2].shape == (5,), "known beforehand, as class_weight requires"
    batches = list(itertools.islice(data.to_tfdataset(train=True).as_numpy_iterator(), len(data)))
    totals = {length: 0.0 for length in range(3)}
    for features, labels, weights in batches:
        scale = 5 / np.count_nonzero(weights)
        for ids, label, weight in zip(features["input_ids"], labels, weights / scale, strict=True):
            if weight:
                row = next(
                    r for r in range(7) if (data.encoded.padded(np.array([r]))[0][0] == ids[: data.encoded.lengths[r]]).all()
                )
                assert np.array_equal(label, data.y[row])
                totals[int(data.encoded.text_of_row()[row])] += float(weight)
    np.testing.assert_allclose(list(totals.values()), 7 / 3, rtol=1e-5)
    assert not hasattr(transformer.for_predictor(), "way"), "what plain ktrain unpickles has nothing of the project"

"""A function that was traced on a model would keep its weights, and the optimizer's, as long as the process lasts."""

import gc
import weakref

import numpy as np
import pytest
import tiny_predictors
from support import example_rows, train_here, write_csv

from halfbert.models import memory


def variables(collect: bool = True) -> int:
    import tensorflow as tf

    if collect:
        gc.collect()
    return sum(
        isinstance(each, tf.Tensor) and each.dtype == tf.resource and hasattr(each, "numpy") for each in gc.get_objects()
    )


@pytest.mark.parametrize("fails", [False, True])
def test_models_compiled_in_the_block_are_let_go_however_it_ends(tensorflow_ready, tiny_distilbert, fails):
    from halfbert.models.ktrain_data import Transformer
    from halfbert.training import fit as training

    def fitted():
        transformer = Transformer(str(tiny_distilbert), 8, ["a", "b"])
        rows = transformer.preprocess_train(["the cat", "a saw"] * 4, np.eye(2, dtype=int)[[0, 1] * 4], verbose=0)
        model = transformer.get_classifier()
        training.compile_model(model, "cpu")
        training.predict_logits(model, rows, "")
        model.fit(rows.to_tfdataset(), steps_per_epoch=1, verbose=0)
        made.extend(map(weakref.ref, model.variables))
        if fails:
            raise KeyError

    made: list[weakref.ref] = []
    try:
        with memory.releasing():
            fitted()
    except KeyError:
        assert fails
    gc.collect()
    assert len(made) > 30 and not [reference for reference in made if reference() is not None]


def test_an_engine_that_is_gone_keeps_nothing(tensorflow_ready, tmp_path):
    import halfbert

    folder = tiny_predictors.copy("distilbert", "multiclass", tmp_path / "predictor")
    before = variables()
    classifier = halfbert.load(folder, "keras", "cpu")
    classifier.predict(["the old cat"])
    classifier.explain("the old cat")
    assert variables() > before + 30
    del classifier
    assert variables() <= before + 1


@pytest.mark.slow
def test_runs_one_after_the_other_leave_nothing_behind(here, tiny_distilbert):
    table = write_csv(here / "things.csv", example_rows(60))
    words = ("--model", "distilbert", "--checkpoint", tiny_distilbert, "--train", table, "--epochs", "1", "--lr", "0.003")
    counts = []
    for _ in range(3):
        train_here(*words, "--no-tfidf", "--output", "made", "--results", "results", "--overwrite")
        counts.append(variables(collect=False))  # a run does so itself
    assert max(counts[1:]) <= counts[0] + 1

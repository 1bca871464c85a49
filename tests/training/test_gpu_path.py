"""What a GPU takes part in, on a CPU: only the search for the device is replaced, and all that follows from it is run.

XLA adds numbers up in another order and fuses operations, so losses are compared as those of several devices are: at 1e-4 of
their size. float16 keeps 11 bits of a number: its losses are compared at 2 %.
"""

import numpy as np
import pytest
from support import (
    LABELS,
    change_config,
    epochs_of,
    example_rows,
    record_of,
    train_here,
    watch_runs,
    write_checkpoint,
    write_csv,
)

pytestmark = pytest.mark.usefixtures("tensorflow_ready")


@pytest.fixture
def gpu(monkeypatch):
    """The search for a device finds a GPU; TensorFlow computes on the CPU all the same."""
    from halfbert.system import tensorflow_setup

    monkeypatch.setattr(tensorflow_setup, "_choose_device", lambda *_: "gpu")


@pytest.fixture(scope="module", params=["bert", "distilbert"])
def still(request, tmp_path_factory):
    """A checkpoint without dropout."""
    folder = write_checkpoint(tmp_path_factory.mktemp("still") / request.param, request.param)
    none = {"bert": ("hidden_dropout_prob", "attention_probs_dropout_prob")}
    names = none.get(request.param, ("dropout", "attention_dropout", "seq_classif_dropout"))
    change_config(folder, **dict.fromkeys(names, 0.0))
    return folder


def run(checkpoint, table, *more):
    words = ("--model", checkpoint.name, "--checkpoint", checkpoint, "--train", table, "--epochs", "2", "--lr", "0.002")
    train_here(*words, "--no-tfidf", "--output", "made", "--results", "results", "--overwrite", *more)
    return record_of(checkpoint.__class__("results"))


@pytest.mark.slow
def test_a_run_on_a_gpu_in_mixed_float16(gpu, still, here, monkeypatch, tmp_path):
    """The stock forward pass, batches in multiples of 8 tokens, scaled losses; the saved predictor answers in float32."""
    table = write_csv(tmp_path / "things.csv", example_rows(120))
    exact = epochs_of(run(still, table, "--device", "gpu"))
    seen = watch_runs(monkeypatch)
    record = run(still, table, "--device", "gpu", "--precision", "mixed_float16")
    assert (record["environment"]["device"], record["environment"]["precision"]) == ("gpu", "mixed_float16")
    model, train = seen.fitted.model, seen.fitted.train
    assert type(model.optimizer).__name__ == "LossScaleOptimizer" and model.compute_dtype == "float16"
    assert {features["input_ids"].shape[1] % 8 for features, _ in train.to_tfdataset().take(6)} == {0}
    for found, expected in zip(epochs_of(record), exact, strict=True):
        for name in ("train_loss", "val_loss"):
            assert found[name] == pytest.approx(expected[name], rel=0.02)
    assert found["train_loss"] < epochs_of(record)[0]["train_loss"]


@pytest.mark.parametrize("device", ["cpu", "gpu"])  # our own pass, and the stock one
def test_xla_fits_as_uncompiled_steps_do(still, device):
    from types import SimpleNamespace

    import tensorflow as tf

    from halfbert.models.ktrain_data import Transformer
    from halfbert.training import fit as training
    from halfbert.training.values import Prepared

    rows = example_rows(44)
    transformer = Transformer(still, maxlen=40, class_names=list(LABELS))
    texts = [f"{text} {text}" if number % 4 else text for number, (text, _) in enumerate(rows)]  # 8 to 32 tokens, and above
    data = transformer.preprocess_train(texts, [LABELS.index(label) for _, label in rows], verbose=0)
    losses = {}
    for xla in (False, True):
        options = SimpleNamespace(seed=0, batch_size=16, xla=xla)
        laid_out = SimpleNamespace(epochs=2, options=options, replicas=1, device=device, lay_out=lambda *_: None)
        Prepared.lay_out_training(laid_out, data, 40)
        tf.keras.utils.set_random_seed(0)
        model = transformer.get_classifier()
        training.compile_model(model, device, weight_decay=0.01, xla=xla)
        learner = training.get_learner(model, train_data=data, batch_size=16)
        seen = losses[xla] = []
        keep = tf.keras.callbacks.LambdaCallback(on_batch_end=lambda _, logs, seen=seen: seen.append(float(logs["loss"])))
        learner.fit_onecycle(2e-3, 2, class_weight={0: 1.0, 1: 2.0, 2: 1.0}, callbacks=[keep], verbose=0)
        assert model.jit_compile is xla
    assert len(losses[True]) == 6
    np.testing.assert_allclose(losses[True], losses[False], rtol=1e-4)

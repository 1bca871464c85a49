"""This project as a contestant of the fitting race: the lines of a training run, without validation.

After the timed fit it also measures how fast the machine multiplies large matrices, and where the time of a step goes.
"""

import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from halfbert.benchmark.statistics import measure
from halfbert.benchmark.worker import CEILING_SIZE
from halfbert.system import tensorflow_setup
from tools.race.contest import read, report

job = read()
tensorflow_setup.prepare(device="cpu", threads=job.threads, precision=job.precision)

import numpy as np
import tensorflow as tf

from halfbert.models.ktrain_data import Transformer
from halfbert.training import fit as training
from halfbert.training import head

PROFILED_STEPS = 20
KINDS = {  # of operations, by TensorFlow's names for them; the first that fits counts
    "matrix products": "MatMul",
    "attention's softmax": "Softmax",
    "random numbers for dropout": "Random",
    "optimizer": "Apply|Scatter|Assign",
    "all else (element-wise, normalisation, GELU, copies)": "",
}


def gflop(model: Any, data: Any) -> float:
    """Floating-point operations of the matrix products of one fit on `data`, forward and backward, in 10⁹.

    The last layer computes queries, attention output and feed-forward for the first token alone (`keras_forward`).
    """
    config = model.config
    bert = config.model_type == "bert"
    h, layers = (config.hidden_size, config.num_hidden_layers) if bert else (config.dim, config.n_layers)
    f = config.intermediate_size if bert else config.hidden_dim
    total = 0
    for rows in data.layout(train=True):
        rows = rows[rows >= 0]
        b, tokens = len(rows), int(data.encoded.lengths[rows].max())
        whole = b * tokens * (4 * h * h + 2 * h * f) + 2 * b * tokens * tokens * h
        last = b * tokens * 2 * h * h + b * (2 * h * h + 2 * h * f) + 2 * b * tokens * h
        total += (layers - 1) * whole + last
    return 3 * 2 * total / 1e9  # a multiply and an add; forward, and twice as much backward


def ceiling() -> float:
    """10⁹ floating-point operations a second in one large matrix product of the run's precision; the best of twenty."""
    kind = tf.keras.mixed_precision.global_policy().compute_dtype
    a, b = (tf.cast(tf.random.normal([CEILING_SIZE, CEILING_SIZE]), kind) for _ in range(2))
    seconds = measure(lambda _: tf.matmul(a, b)[0, 0].numpy(), range(20), seconds=0.0)
    return 2 * CEILING_SIZE**3 / min(seconds) / 1e9


def share_by_operation(model: Any, dataset: Any) -> dict[str, float]:
    """Share of the operations' time in some steps of the fit, by kind of operation, from TensorFlow's own profiler."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            model.fit(dataset, steps_per_epoch=PROFILED_STEPS, verbose=0)
        space = xplane_pb2.XSpace.FromString(next(Path(folder).rglob("*.xplane.pb")).read_bytes())
    spent: Counter[str] = Counter()
    for plane in space.planes:
        for event in (event for line in plane.lines for event in line.events if "CPU" in plane.name):
            name = plane.event_metadata[event.metadata_id].name
            if re.fullmatch(r"[^:]+:[A-Z_]\w*", name):  # "node:Operation"; all else are the runtime's own spans
                kind = next(kind for kind, pattern in KINDS.items() if re.search(pattern, name.split(":")[1]))
                spent[kind] += event.duration_ps
    return {kind: spent[kind] / spent.total() for kind in KINDS}


names = sorted(set(job.labels))
start = time.perf_counter()
transformer = Transformer(job.checkpoint, maxlen=job.maxlen, class_names=names)
train = transformer.preprocess_train(job.texts, np.array([names.index(label) for label in job.labels]), verbose=0)
train.epochs = job.epochs
model = transformer.get_classifier()
training.compile_model(model, "cpu")
probe_start = time.perf_counter()
head.fit_head(model, train, "cpu")
probe_seconds = time.perf_counter() - probe_start
learner = training.get_learner(model, train_data=train, batch_size=job.batch_size)
learner.fit_onecycle(job.lr, job.epochs, verbose=0)
fit_seconds = time.perf_counter() - start


def predict(texts: list[str]) -> list[str]:
    """The label of each text, by the model as it is after the fit."""
    test = transformer.preprocess_test(texts, np.zeros(len(texts), int), verbose=0)
    return [names[number] for number in training.predict_logits(model, test, "test").argmax(axis=1)]


report(
    job,
    predict,
    fit_seconds,
    probe_seconds=probe_seconds,
    gflop=gflop(model, train),
    ceiling_gflop_per_second=ceiling(),
    share_by_operation=share_by_operation(model, train.to_tfdataset()),
)

"""This project as a contestant of the race: the same rows as its peers, the lines of train_multiclass.py, no validation.

Run by tests/race.py, with the folder of the peers' race_data.py on PYTHONPATH. After the timed fit it also measures how fast
the machine multiplies large matrices at all, and where the time of a step goes.
"""

import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from race_data import arguments, read

from halfbert.system import tensorflow_setup

args = arguments()
precision = os.environ.get("RACE_PRECISION", "float32")
tensorflow_setup.prepare(device="cpu", threads=args.threads, precision=precision)

import numpy as np
import tensorflow as tf

from halfbert.models.ktrain_data import Transformer
from halfbert.training import fit as training
from halfbert.training import head as probe

CEILING_SIZE = 2048  # rows and columns of the large product
PROFILED_STEPS = 20
KINDS = {  # of operations, by TensorFlow's names for them; the first that fits counts
    "matrix products": "MatMul",
    "attention's softmax": "Softmax",
    "random numbers for dropout": "Random",
    "optimizer": "Apply|Scatter|Assign",
    "all else (element-wise, normalisation, GELU, copies)": "",
}


def gflop(model, data) -> float:
    """Floating-point operations of the matrix products of one fit on `data`, forward and backward, in 10⁹.

    The last layer computes queries, attention output and feed-forward for the first token alone (`training_graph`).
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
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        tf.matmul(a, b)[0, 0].numpy()
        seconds.append(time.perf_counter() - start)
    return 2 * CEILING_SIZE**3 / min(seconds) / 1e9


def share_by_operation(model, dataset) -> dict[str, float]:
    """Share of the operations' time in some steps of the fit, by kind of operation, from TensorFlow's own profiler."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            model.fit(dataset, steps_per_epoch=PROFILED_STEPS, verbose=0)
        space = xplane_pb2.XSpace.FromString(next(Path(folder).rglob("*.xplane.pb")).read_bytes())
    spent = Counter()
    for plane in space.planes:
        for event in (event for line in plane.lines for event in line.events if "CPU" in plane.name):
            name = plane.event_metadata[event.metadata_id].name
            if re.fullmatch(r"[^:]+:[A-Z_]\w*", name):  # "node:Operation"; all else are the runtime's own spans
                kind = next(kind for kind, pattern in KINDS.items() if re.search(pattern, name.split(":")[1]))
                spent[kind] += event.duration_ps
    return {kind: spent[kind] / spent.total() for kind in KINDS}


x, y, xt, yt = read(args)
names = sorted(set(y))
start = time.perf_counter()
transformer = Transformer(args.checkpoint, maxlen=args.maxlen, class_names=names)
train = transformer.preprocess_train(x, np.array([names.index(label) for label in y]), verbose=0)
train.epochs = args.epochs
model = transformer.get_classifier()
training.compile_model(model, "cpu")
probe_start = time.perf_counter()
probe.fit_head(model, train, "cpu")
probe_seconds = time.perf_counter() - probe_start
learner = training.get_learner(model, train_data=train, batch_size=args.batch_size)
learner.fit_onecycle(args.lr, args.epochs, verbose=0)
fit_seconds = time.perf_counter() - start
test = transformer.preprocess_test(xt, np.zeros(len(xt), int), verbose=0)
answers = [names[number] for number in training.predict_logits(model, test, "test").argmax(axis=1)]
print(
    json.dumps(
        {
            "contestant": f"halfbert, {precision}",
            "fit_seconds": fit_seconds,
            "probe_seconds": probe_seconds,
            "accuracy": float(np.mean([answer == truth for answer, truth in zip(answers, yt, strict=True)])),
            "gflop": gflop(model, train),
            "ceiling_gflop_per_second": ceiling(),
            "share_by_operation": share_by_operation(model, train.to_tfdataset()),
        }
    )
)

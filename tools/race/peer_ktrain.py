"""Plain ktrain as a contestant, in its own documentation's lines: Transformer, fit_onecycle, predict."""

import os
import time

from tools.race.contest import read, report

os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3")
import numpy as np

np.Inf = np.inf  # type: ignore[attr-defined]  # ktrain still uses the name, which numpy 2 dropped
import ktrain
import tensorflow as tf
from ktrain import text

job = read()
tf.config.threading.set_intra_op_parallelism_threads(job.threads)
tf.keras.utils.set_random_seed(0)
transformer = text.Transformer(job.checkpoint, maxlen=job.maxlen, class_names=sorted(set(job.labels)))
start = time.perf_counter()
train = transformer.preprocess_train(job.texts, job.labels, verbose=0)
learner = ktrain.get_learner(transformer.get_classifier(), train_data=train, batch_size=job.batch_size)
learner.fit_onecycle(job.lr, job.epochs, verbose=0)
fit_seconds = time.perf_counter() - start
report(job, ktrain.get_predictor(learner.model, transformer).predict, fit_seconds)

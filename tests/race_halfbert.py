"""This project as a contestant of the race: the same rows as its peers, the lines of train_multiclass.py, no validation.

Run by tests/race.py, with the folder of the peers' race_data.py on PYTHONPATH.
"""

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from race_data import arguments, read

from halfbert import environment

args = arguments()
precision = os.environ.get("RACE_PRECISION", "float32")
environment.prepare(device="cpu", threads=args.threads, precision=precision)

import numpy as np

from halfbert import training
from halfbert.preprocessing import Transformer

x, y, xt, yt = read(args)
names = sorted(set(y))
start = time.perf_counter()
transformer = Transformer(args.checkpoint, maxlen=args.maxlen, class_names=names)
train = transformer.preprocess_train(x, np.array([names.index(label) for label in y]), verbose=0)
train.epochs = args.epochs
model = transformer.get_classifier()
training.compile_model(model, "cpu")
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
            "accuracy": float(np.mean([answer == truth for answer, truth in zip(answers, yt, strict=True)])),
        }
    )
)

"""This project's engines as contestants of the predicting race; also counts the operations of the texts' matrix products."""

from pathlib import Path

import halfbert
from halfbert.benchmark import plan
from tools.race.contest import read, report

job = read()
folder = Path(job.checkpoint)  # of a saved predictor
predictor = halfbert.load(folder, job.engine or "auto", "cpu", job.threads, allow_disagreement=True)  # the record has how much
lengths = predictor.encode(job.test_texts).lengths.tolist()
report(job, predictor.predict, 0.0, gflop=plan.gflop(plan.describe(folder).described.sizes, lengths))

"""This project's engines as contestants of the predicting race: the same texts as their peers, timed by the peers' own lines.

Run by tests/race.py, with the folder of the peers' race_data.py on PYTHONPATH and the predictor and engine in RACE_PREDICTOR
and RACE_ENGINE. It also counts the operations of the texts' matrix products.
"""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from race_data import arguments, read, report

import halfbert
from halfbert.benchmark import plan as benchmark_plan

args = arguments()
folder, engine = Path(os.environ["RACE_PREDICTOR"]), os.environ["RACE_ENGINE"]
_, _, texts, truth = read(args)
predictor = halfbert.load(folder, engine, "cpu", args.threads, allow_disagreement=True)  # its agreement stands in the record
lengths = predictor.encode(texts).lengths.tolist()
print(json.dumps({"gflop": benchmark_plan.gflop(benchmark_plan.describe(folder)["sizes"], lengths)}))
report(engine, float("nan"), 0, predictor.predict, texts, truth)

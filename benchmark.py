"""Time predictors engine by engine, on your own texts: one text, many, cold start, memory, size; pairs against each other.

python benchmark.py predictors/bert-messages predictors/distilbert-messages
python benchmark.py predictors/* --engines ktrain,keras,onnx,onnx-int8 --texts reviews.xlsx --text-column Reviews
"""

import sys

from halfbert.benchmark import course
from halfbert.cli import options
from halfbert.system import console


def main(argv: list[str], stop: console.StopRequest) -> None:
    """Benchmark; `--help` lists the options."""
    course.benchmark(options.parse_benchmark(options.benchmark_parser(), argv), stop)


if __name__ == "__main__":
    sys.exit(console.run(main, sys.argv[1:]))

"""Time predictors engine by engine, on your own texts: one text, many, cold start, memory, size; pairs against each other.

python benchmark.py predictors/bert-messages predictors/distilbert-messages
python benchmark.py predictors/* --engines ktrain,keras,onnx,onnx-int8 --texts reviews.xlsx --text-column Reviews
"""

import sys

from halfbert.cli import command

if __name__ == "__main__":
    sys.exit(command.main(["benchmark", *sys.argv[1:]], prog="benchmark.py"))

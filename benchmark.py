"""Time predictors engine by engine, on your own texts: one text, many, cold start, memory, size; pairs against each other.

python benchmark.py predictors/bert-messages predictors/distilbert-messages
python benchmark.py predictors/* --engines ktrain,keras,onnx,onnx-int8 --texts reviews.xlsx --text-column Reviews
"""

from halfbert.__main__ import main

if __name__ == "__main__":
    main("benchmark")

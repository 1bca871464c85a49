"""Fine-tune BERT or DistilBERT on a table of texts with one label each: table in, ktrain predictor out.

python train_multiclass.py --model distilbert
python train_multiclass.py --model bert --train reviews.xlsx --text-column Reviews --label-column Sentiment
"""

import sys

from halfbert.cli import options
from halfbert.system import console
from halfbert.training import course


def main(argv: list[str], stop: console.StopRequest) -> None:
    """Read, fit, test, save; `--help` lists the options."""
    course.train(options.parse_training(options.multiclass_parser(), argv, "multiclass"), stop)


if __name__ == "__main__":
    sys.exit(console.run(main, sys.argv[1:]))

"""Fine-tune BERT or DistilBERT on a table of texts with any number of labels each: table in, ktrain predictor out.

python train_multilabel.py --model distilbert
python train_multilabel.py --model bert --train comments.csv --text-column text --label-columns toxic,obscene,threat
"""

import sys

from halfbert.cli import options
from halfbert.system import console
from halfbert.training import course


def main(argv: list[str], stop: console.StopRequest) -> None:
    """Read, fit, test, save; `--help` lists the options."""
    course.train(options.parse_training(options.multilabel_parser(), argv, "multilabel"), stop)


if __name__ == "__main__":
    sys.exit(console.run(main, sys.argv[1:]))

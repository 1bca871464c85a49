"""Fine-tune BERT or DistilBERT on a table of texts with any number of labels each: table in, ktrain predictor out.

python train_multilabel.py --model distilbert
python train_multilabel.py --model bert --train comments.csv --text-column text --label-columns toxic,obscene,threat
"""

import sys

from halfbert.cli import command

if __name__ == "__main__":
    sys.exit(command.main(["train-multilabel", *sys.argv[1:]], prog="train_multilabel.py"))

"""Fine-tune BERT or DistilBERT on a table of texts with one label each: table in, ktrain predictor out.

python train_multiclass.py --model distilbert
python train_multiclass.py --model bert --train reviews.xlsx --text-column Reviews --label-column Sentiment
"""

import sys

from halfbert.cli import command

if __name__ == "__main__":
    sys.exit(command.main(["train-multiclass", *sys.argv[1:]], prog="train_multiclass.py"))

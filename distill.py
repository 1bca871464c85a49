"""Teach a smaller model what a trained one knows, on labelled and unlabelled texts: a predictor in, a faster one out.

python distill.py --teacher predictors/bert-messages
python distill.py --teacher predictors/bert-reviews --train reviews.xlsx --unlabelled more_reviews.csv --output predictors/small
"""

import sys

from halfbert.cli import command

if __name__ == "__main__":
    sys.exit(command.main(["distill", *sys.argv[1:]], prog="distill.py"))

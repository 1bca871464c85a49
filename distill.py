"""Teach a smaller model what a trained one knows, on labelled and unlabelled texts: a predictor in, a faster one out.

python distill.py --teacher predictors/bert-messages
python distill.py --teacher predictors/bert-reviews --train reviews.xlsx --unlabelled more_reviews.csv --output predictors/small
"""

from halfbert.__main__ import main

if __name__ == "__main__":
    main("distill")

"""Answer the texts of tables with a predictor: the same rows, with label and confidence beside them.

python predict.py predictors/distilbert-reviews new.xlsx --text-column Reviews --output labelled.xlsx
cat lines.txt | python predict.py predictors/distilbert-reviews - > answers.tsv
"""

from halfbert.__main__ import main

if __name__ == "__main__":
    main("predict")

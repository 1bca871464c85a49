"""Fine-tune BERT or DistilBERT on a table of texts with one label each: table in, ktrain predictor out.

python train_multiclass.py --model distilbert
python train_multiclass.py --model bert --train reviews.xlsx --text-column Reviews --label-column Sentiment
"""

from halfbert.__main__ import main

if __name__ == "__main__":
    main("train-multiclass")

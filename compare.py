"""Which one to deploy: TF-IDF, static embeddings, DistilBERT, BERT and a distilled student on one table, with a verdict.

python compare.py --train reviews.xlsx --text-column Reviews --label-column Sentiment
python compare.py --task multilabel --train toxic.csv --text-column text --label-columns ALL --seeds 3
"""

from halfbert.__main__ import main

if __name__ == "__main__":
    main("compare")

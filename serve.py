"""Answer texts over HTTP with predictors that a training script saved.

python serve.py predictors/distilbert-reviews                     # http://127.0.0.1:8000
curl -H 'Content-Type: application/json' -d '{"texts": ["Not a minute too long."]}' http://127.0.0.1:8000/v1/predict
"""

from halfbert.__main__ import main

if __name__ == "__main__":
    main("serve")

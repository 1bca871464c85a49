"""A service as FastAPI's and transformers' documentation has one: a pipeline behind an endpoint. Needs torch, not this project.

python peer_pipeline.py FOLDER MAXLEN PORT; weights are random, in the shapes of the folder's config.json: speed is the same.
"""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
from transformers.pipelines import pipeline

folder, maxlen, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
model = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(folder)).eval()
classify = pipeline("text-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(folder), device="cpu")
app = FastAPI()


class Request(BaseModel):
    texts: list[str]


@app.post("/v1/predict")
async def predict(request: Request) -> dict:
    return {"answers": classify(request.texts, truncation=True, max_length=maxlen)}


uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")

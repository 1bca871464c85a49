"""A service over plain ktrain: its predictor behind an endpoint of FastAPI.

python peer_ktrain.py FOLDER PORT
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from halfbert.system import tensorflow_setup

tensorflow_setup.prepare("cpu")  # Keras 2, which ktrain needs

import ktrain
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

predictor = ktrain.load_predictor(sys.argv[1])
app = FastAPI()


class Request(BaseModel):
    texts: list[str]


@app.post("/v1/predict")
async def predict(request: Request) -> dict:
    return {"answers": [str(answer) for answer in predictor.predict(request.texts)]}


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")

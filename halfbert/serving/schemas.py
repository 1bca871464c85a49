"""What clients send and get, for checking and for the OpenAPI document."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict

MOST_TOP = 1000
EXAMPLE: JsonDict = {"texts": ["Where is my parcel?", "I was charged twice"], "top": 2}


def _whole(value: Any) -> Any:
    """JSON has one kind of number: 3.0 is a whole one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class PredictRequest(BaseModel):
    """Texts, and what is wanted of their answers."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [EXAMPLE]})

    texts: list[Any] = Field(
        description="Strings; of a predictor of several text columns objects of strings by column, or arrays in their order. "
        "Anything else gets an error in place of its answer."
    )
    top: Annotated[int, BeforeValidator(_whole)] = Field(
        0, ge=0, le=MOST_TOP, description="So many of the most probable labels, each with its confidence."
    )
    probabilities: bool = Field(False, description="The network's own probability of each label.")
    explain: bool = Field(False, description="What each word adds to the most probable label; of at most 10 texts.")
    explain_label: str | None = Field(None, description="The label to explain, in place of the most probable one.")
    unread: bool = Field(False, description="Which parts of the text were left out, where some were.")
    max_error: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Leave to a person (`review`) what is too uncertain: with 95 % certainty at most this share of the other "
        "answers is wrong.",
    )
    predictor: str | None = Field(None, description="Its name, as GET /v1/predictors lists it; the first one by default.")


class Problem(BaseModel):
    """Why there is no answer: a word for programs, a line for people."""

    code: str
    message: str


class ErrorBody(BaseModel):
    """The body of every answer with a status from 400."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"error": {"code": "busy", "message": "too many texts wait; try again in 2 s"}}]}
    )

    error: Problem


class Ranked(BaseModel):
    """One of the most probable labels."""

    label: str
    confidence: float


class WordPart(BaseModel):
    """A word, which is text[start:end] in code points, and what it adds to the label; null if it was cut off."""

    text: str
    start: int
    end: int
    contribution: float | None


class ExplanationPart(BaseModel):
    """What each word adds to a label."""

    label: str
    probability: float
    without_words: float
    method: str
    words: list[WordPart]


class Answer(BaseModel):
    """The answer to one text, or the `error` alone in its place."""

    label: str | None = Field(None, description="Where texts have one label each.")
    labels: list[str] | None = Field(None, description="Where texts have any number of labels.")
    confidence: float | None = Field(
        None, description="How likely the answer is right; calibrated, unless the predictor says otherwise."
    )
    review: bool | None = Field(None, description="Whether a person is to see it; the answer is then the best guess.")
    tokens: int | None = Field(None, description="Tokens of the whole text.")
    cut_at: int | None = Field(None, description="How many of them were read, where some were left out.")
    unread: list[list[int]] | None = Field(None, description="Start and end, in code points, of each part left out.")
    top: list[Ranked] | None = None
    probabilities: dict[str, float] | None = None
    explanation: ExplanationPart | None = None
    error: Problem | None = None


ANSWERED: JsonDict = {
    "predictor": "distilbert-messages",
    "engine": "onnx-int8",
    "calibrated": True,
    "rule": None,
    "answers": [
        {"label": "delivery", "confidence": 0.97, "review": False, "tokens": 7, "cut_at": None},
        {"error": {"code": "not_text", "message": "expected a string, not a number"}},
    ],
}


class PredictResponse(BaseModel):
    """The answers, one for each text, in the order of the texts."""

    model_config = ConfigDict(json_schema_extra={"examples": [ANSWERED]})

    predictor: str
    engine: str
    calibrated: bool
    rule: str | None = Field(description="What max_error came to, in words.")
    answers: list[Answer]


class Job(BaseModel):
    """A table that is labelled: waiting, running, done or failed."""

    id: str
    name: str
    predictor: str
    status: str
    rows: int = Field(description="So many are answered.")
    total: int | None = Field(description="Of so many, where that is known.")
    summary: dict[str, Any] | None = Field(description="What became of the rows: labels counts them by label.")
    error: str | None = Field(description="What is wrong with the table.")


class PredictorPart(BaseModel):
    """What a predictor states about itself."""

    name: str
    task: str
    labels: list[str]
    text_columns: list[str]
    maxlen: int
    long: str
    engine: str
    model: str | None
    weights_sha256: str
    calibrated: bool
    test: dict[str, float | None] | None = Field(description="Its scores on held-out rows.")


class AboutPart(BaseModel):
    """What people are shown of a predictor beside its answers."""

    card: str | None = Field(description="The model card, in Markdown.")
    max_errors: list[float] = Field(description="Values of max_error, of a few usual ones, that it can guarantee.")
    pictures: list[str] = Field(description="Names of pictures of its training run.")


class PredictorsResponse(BaseModel):
    """The predictors that answer, the default one first."""

    predictors: list[PredictorPart]


class Health(BaseModel):
    """Whether all is well: ok, or what is not."""

    status: str

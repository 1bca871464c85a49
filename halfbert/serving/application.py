"""The routes, and the document that describes them."""

import asyncio
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from halfbert.serving import labelling, metrics, page, schemas
from halfbert.serving.errors import Refusal, failed
from halfbert.serving.predicting import Serving, predict

TITLE = "halfbert"
DESCRIPTION = "Labels for texts, with calibrated confidence. docs/serving.md describes limits and metrics."
JSON = "application/json"
REFUSALS = {
    400: "No JSON in UTF-8.",
    401: "No key, or a wrong one.",
    404: "No such predictor, or table.",
    408: "The body did not arrive in time.",
    409: "The table is not labelled yet, or cannot be.",
    413: "Too many bytes or texts.",
    415: "Another media type, or a compressed body.",
    421: "Another host's name.",
    422: "JSON of another form, or a guarantee that the predictor cannot give.",
    429: "Too many texts wait; Retry-After says when to try again.",
    503: "Time ran out, or the server is ending.",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "model": schemas.ErrorBody} for status, description in REFUSALS.items()
}


def application(serving: Serving, version: str) -> FastAPI:
    """The application for predictors that are loaded."""
    made = FastAPI(title=TITLE, version=version, description=DESCRIPTION, docs_url=None, redoc_url=None)
    made.add_exception_handler(Refusal, _refused)
    made.add_exception_handler(RequestValidationError, _invalid)
    made.add_exception_handler(HTTPException, _http_error)
    made.add_exception_handler(Exception, _failed)
    _add_health(made, serving)

    @made.post(
        "/v1/predict",
        response_model=schemas.PredictResponse,
        response_model_exclude_unset=True,
        responses=RESPONSES,
        summary="Answer texts",
        openapi_extra={"requestBody": {"required": True, "content": {JSON: {"schema": _schema()}}}},
    )
    async def _predict(request: Request) -> Response:
        return Response(await predict(serving, request), media_type=JSON)

    @made.get("/v1/predictors", response_model=schemas.PredictorsResponse, responses=_only(401), summary="What is served")
    async def _predictors() -> JSONResponse:
        return JSONResponse({"predictors": [served.describe() for served in serving.predictors.values()]})

    labelling.add_routes(made, serving, RESPONSES)
    page.add_routes(made, serving, RESPONSES)
    return made


def _add_health(made: FastAPI, serving: Serving) -> None:
    @made.get("/healthz", response_model=schemas.Health, summary="The process answers")
    async def _healthz() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @made.get(
        "/readyz", response_model=schemas.Health, responses={503: {"model": schemas.Health}}, summary="The engines answer"
    )
    async def _readyz() -> JSONResponse:
        if serving.draining:
            return JSONResponse({"status": "ending"}, 503)
        checks = [asyncio.to_thread(served.now.check) for served in serving.predictors.values()]
        failed = [name for name, good in zip(serving.predictors, await asyncio.gather(*checks), strict=True) if not good]
        return JSONResponse({"status": f"no answer from {', '.join(failed)}" if failed else "ok"}, 503 if failed else 200)

    @made.get("/metrics", response_class=Response, responses=_only(401), summary="Figures for Prometheus")
    async def _metrics() -> Response:
        for served in serving.predictors.values():
            metrics.QUEUE_TEXTS.labels(served.name).set(served.now.lane.waiting)
        content = await asyncio.to_thread(metrics.text)
        return Response(content, media_type=metrics.MEDIA_TYPE)


def _schema() -> dict[str, Any]:
    return schemas.PredictRequest.model_json_schema()


def _only(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: RESPONSES[status] for status in statuses}


async def _refused(_request: Request, refusal: Exception) -> JSONResponse:
    assert isinstance(refusal, Refusal)
    return JSONResponse(refusal.body(), refusal.status, refusal.headers)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    refusal = Refusal(422, "invalid", f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}")
    return JSONResponse(refusal.body(), refusal.status)


async def _http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = {404: "no_route", 405: "no_method"}.get(error.status_code, "invalid")
    body = {"error": {"code": code, "message": str(error.detail)}}
    return JSONResponse(body, error.status_code, error.headers)


async def _failed(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse(failed().body(), failed().status)  # the guard reports the error, which is raised again

"""The routes of tables: send one, ask how far it is, fetch it labelled."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from halfbert.options.prediction import PredictOptions
from halfbert.serving import bodies, schemas
from halfbert.serving.errors import Refusal
from halfbert.serving.predicting import Serving
from halfbert.system.errors import InputError

SMALLER = "send a smaller table, or use predict.py"
UPLOAD_SECONDS = 300.0  # for the bytes of a table
BINARY, BYTES = "application/octet-stream", {"type": "string", "format": "binary"}


def add_routes(made: FastAPI, serving: Serving, responses: dict[int | str, dict[str, Any]]) -> None:
    """Add the routes to an application; `responses` describe the refusals."""

    @made.post(
        "/v1/label",
        status_code=202,
        response_model=schemas.Job,
        responses=responses,
        summary="Label a table",
        openapi_extra={
            "requestBody": {"required": True, "content": {BINARY: {"schema": {"type": "string", "format": "binary"}}}}
        },
    )
    async def _label(
        request: Request,
        name: Annotated[str, Query(max_length=300, description="Its file name, whose ending says the format.")],
        predictor: Annotated[str | None, Query(max_length=300)] = None,
        text_column: Annotated[str | None, Query(max_length=1000, description="By default as in training.")] = None,
        sheet: Annotated[str | None, Query(max_length=300, description="Of a workbook; the first by default.")] = None,
        top: Annotated[int | None, Query(ge=1, le=schemas.MOST_TOP)] = None,
        max_error: Annotated[float | None, Query(gt=0, lt=1)] = None,
    ) -> JSONResponse:
        served = serving.find(predictor)
        given = {"text_column": text_column, "sheet": sheet, "top": top, "max_error": max_error}
        options = {key: value for key, value in given.items() if value is not None}
        _checked(options)
        state, file = serving.tables.begin(name, served.name)
        shown = asdict(state)
        try:
            with file.open("wb") as stream:
                request.state.deadline = time.monotonic() + UPLOAD_SECONDS
                async for chunk in bodies.chunks(
                    request, serving.options.max_upload, "send a smaller table, or use predict.py"
                ):
                    stream.write(chunk)
            serving.tables.start(state, served, options)
        except BaseException:
            serving.tables.remove(state.id)
            raise
        return JSONResponse(shown, 202, {"Location": f"/v1/label/{state.id}"})

    @made.get("/v1/label/{number}", response_model=schemas.Job, responses=responses, summary="How far a table is")
    def _state(number: str) -> dict[str, Any]:
        return asdict(serving.tables.state(number))

    @made.get("/v1/label/{number}/table", response_class=FileResponse, responses=responses, summary="The labelled table")
    def _table(number: str) -> FileResponse:
        file, _ = serving.tables.table(number)
        return FileResponse(file, media_type=BINARY, filename=file.name)

    @made.delete("/v1/label/{number}", status_code=204, responses=responses, summary="Stop and forget a table")
    def _remove(number: str) -> Response:
        serving.tables.remove(number)
        return Response(status_code=204)


def _checked(options: dict[str, Any]) -> None:
    """Raise Refusal where an option of `predict` cannot have its value."""
    try:
        PredictOptions(predictor=Path("p"), table=["t.csv"], output=Path("o.csv"), **options)
    except InputError as error:
        raise Refusal(422, "invalid", str(error)) from None

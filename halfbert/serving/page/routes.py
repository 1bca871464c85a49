"""The routes of the page: its three files, and what it shows of each predictor."""

import functools
import importlib.resources
from dataclasses import asdict
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import FileResponse

from halfbert.serving import schemas
from halfbert.serving.errors import Refusal
from halfbert.serving.page.about import about, pictures
from halfbert.serving.predicting import Serving

FILES = {  # each of parts, of this folder unless they are of the kit for pages
    "page.css": ("output/page/page.css", "page.css"),
    "page.js": (
        "output/page/tables.js",
        *("requests.js", "words.js", "answers.js", "labelling.js", "about.js", "page.js"),
    ),
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data: blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)


def add_routes(made: FastAPI, serving: Serving, responses: dict[int | str, dict[str, Any]]) -> None:
    """Add the routes to an application; `responses` describe the refusals."""

    @made.get("/", include_in_schema=False)
    async def _page() -> Response:
        return Response(_content("index.html"), media_type="text/html", headers={"Content-Security-Policy": POLICY})

    @made.get("/page.css", include_in_schema=False)
    async def _style() -> Response:
        return Response(_content(*FILES["page.css"]), media_type="text/css")

    @made.get("/page.js", include_in_schema=False)
    async def _script() -> Response:
        return Response(_content(*FILES["page.js"]), media_type="text/javascript")

    @made.get(
        "/v1/predictors/{name}/about", response_model=schemas.AboutPart, responses=responses, summary="What a predictor is like"
    )
    def _about(name: str) -> dict[str, Any]:
        return asdict(about(serving.find(name).now))

    @made.get(
        "/v1/predictors/{name}/pictures/{picture}",
        response_class=FileResponse,
        responses=responses,
        summary="A picture of a predictor's training run",
    )
    def _picture(name: str, picture: str) -> FileResponse:
        now = serving.find(name).now
        found = pictures(now.classifier.predictor.folder, now.manifest)
        if picture not in found:
            raise Refusal(404, "no_picture", "no such picture")
        return FileResponse(found[picture], media_type="image/png")


@functools.cache
def _content(*names: str) -> bytes:
    """The files, one after the other."""
    package = importlib.resources.files("halfbert")
    return b"".join((package / (name if "/" in name else f"serving/page/{name}")).read_bytes() for name in names)

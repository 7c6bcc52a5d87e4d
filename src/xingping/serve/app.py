"""The application: routes, and what stands before them."""

import asyncio
import codecs
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.exceptions import HTTPException

from xingping.config import Language, ServeSettings, Task
from xingping.errors import UsageError
from xingping.fonts import font_path
from xingping.report import script_digests
from xingping.serve.batching import Batcher
from xingping.serve.boundary import Boundary
from xingping.serve.guards import ApiKeys, RateLimit
from xingping.serve.jobs import KIND_PATTERN, TableJobs
from xingping.serve.model import ModelLoader
from xingping.serve.observation import Metrics, log
from xingping.serve.problems import Problem
from xingping.serve.schemas import (
    TABLE_EXAMPLE,
    ExplainedText,
    Explanations,
    Model,
    ProblemBody,
    RatingList,
    Requests,
    Similar,
    TableState,
)

__all__ = ["create_app"]

PAGE = {
    "index.html": "text/html; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}

STUDY_POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; font-src data:; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts"
)
"""For a case study: its own two scripts and no others, nothing from elsewhere, no access to the page's origin."""

MOST_DETAILS = 3
"""Faults of a body that are told."""

Responses = dict[int | str, dict[str, Any]]
"""What FastAPI is told of answers, by their status."""


def _problem(description: str) -> dict[str, Any]:
    return {"model": ProblemBody, "description": description}


PROBLEMS: Responses = {
    status: _problem(description)
    for status, description in {
        400: "The body cannot be read.",
        401: "An API key is needed.",
        408: "The body came too slowly.",
        413: "The body is too large.",
        422: "The body is not what it should be.",
        431: "Address and headers are too large.",
        429: "Too many requests of this client.",
        503: "Too many requests wait, the time is up, or the model is not loaded; see Retry-After.",
    }.items()
}


def create_app(path: Path, settings: ServeSettings | None = None, *, task: Task | None = None) -> FastAPI:
    """Return the ASGI application that serves a model.

    Parameters
    ----------
    path
        A model bundle or a run directory.
    settings
        Limits; where it listens is not the application's business.
    task
        Which model of a run directory; by default classification where there is one.

    Raises
    ------
    InputError
        The file of keys cannot be used.
    """
    settings = settings or ServeSettings()
    loader = ModelLoader(path, task)
    batcher = Batcher(
        budget=settings.batch_tokens,
        capacity=settings.queue_tokens,
        on_batch=lambda work, texts, seconds: metrics.on_batch(work, texts, seconds),
    )
    metrics = Metrics(lambda: batcher.waiting)

    jobs = TableJobs(batcher, lambda: loader.model, most_characters=settings.max_characters)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        loader.start()
        jobs.start()
        yield
        jobs.close()
        batcher.close()
        log("closed", accepted=metrics.accepted, answered=metrics.answered, left=metrics.left)

    app = FastAPI(
        title="xingping",
        version=version("xingping"),
        description="Star ratings of Chinese reviews.",
        lifespan=lifespan,
        responses=PROBLEMS,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    app.state.loader = loader
    guarded = _guards(settings)
    _add_model_routes(app, settings, loader, batcher, guarded)
    _add_table_routes(app, loader, jobs, guarded)
    _add_operator_routes(app, loader, metrics)
    _add_page(app)
    _add_handlers(app)
    largest = {"": settings.max_body, "/v1/tables": settings.max_table}
    app.add_middleware(Boundary, metrics=metrics, max_body=largest, body_seconds=settings.request_seconds)
    return app


def _guards(settings: ServeSettings) -> list[Any]:
    """Return the dependencies that check the key and the rate of a request, and tell OpenAPI of the key."""
    keys = ApiKeys(settings.api_keys) if settings.api_keys else None
    limit = RateLimit(settings.rate_limit) if settings.rate_limit else None

    async def check(request: Request) -> None:
        client = request.client.host if request.client else ""
        if keys is not None:
            client = keys.check(request.headers)
        if limit is not None:
            limit.check(client)

    told: list[Callable[..., Any]] = []
    if keys is not None:
        told = [HTTPBearer(auto_error=False), APIKeyHeader(name="X-API-Key", auto_error=False)]
    return [Depends(check), *(Security(scheme) for scheme in told)]


def _add_model_routes(
    app: FastAPI,
    settings: ServeSettings,
    loader: ModelLoader,
    batcher: Batcher,
    guarded: list[Any],
) -> None:
    requests = Requests(settings)

    @app.post("/v1/predict", dependencies=guarded, summary="Rate reviews")
    async def predict(body: requests.texts) -> RatingList:  # type: ignore[name-defined]
        """Rate one review or many."""
        model = loader.model
        found = await batcher.submit(model.rate, body.texts, seconds=settings.deadline)
        return RatingList(task=model.predictor.task, ratings=list(found))

    @app.post("/v1/explain", dependencies=guarded, summary="Say what ratings rest on")
    async def explain(body: requests.texts) -> Explanations:  # type: ignore[name-defined]
        """Rate reviews and say which words the model looked at, and what each word does to the rating.

        Of a review beyond 200 characters the effect of each word is not found.
        """
        model = loader.model
        if model.explain.tokens(body.texts) > settings.queue_tokens:
            raise Problem(422, "too_much", "these are too many texts to explain in one request; send fewer")
        found: list[ExplainedText] = []
        end = time.monotonic() + settings.deadline
        for text in body.texts:  # each on its own: other requests come in between
            found += await batcher.submit(model.explain, [text], seconds=max(0.0, end - time.monotonic()))
        return Explanations(task=model.predictor.task, explanations=found)

    none: Responses = {404: _problem("This model was saved without reviews.")}

    @app.post("/v1/similar", dependencies=guarded, summary="Find reviews like these", responses=none)
    async def similar(body: requests.similar) -> Similar:  # type: ignore[name-defined]
        """Find the reviews of the training split that the model sees nearest, with their stars."""
        model = loader.model
        if not model.has_neighbours:
            raise Problem(404, "no_reviews", "this model was saved without reviews to compare with; evaluate the run")
        found = await batcher.submit(model.similar, body.texts, seconds=settings.deadline)
        return Similar(similar=[reviews[: body.n] for reviews in found])

    @app.get("/v1/model", dependencies=guarded, summary="Describe the model")
    async def describe() -> Model:
        """Say what is served, and how good it was on its test split."""
        return loader.model.description


def _add_table_routes(app: FastAPI, loader: ModelLoader, jobs: TableJobs, guarded: list[Any]) -> None:
    body = {
        "content": {"text/csv": {"schema": {"type": "string", "minLength": 1, "example": TABLE_EXAMPLE}}},
        "required": True,
    }
    name_schema = {"pattern": KIND_PATTERN, "examples": ["reviews.csv"]}
    missing: Responses = {404: _problem("There is no such table (any more).")}
    not_done: Responses = {409: _problem("It is not done.")}

    @app.post(
        "/v1/tables", status_code=202, dependencies=guarded, summary="Rate a table",
        openapi_extra={"requestBody": body}, responses={415: _problem("No such format, or it is packed.")},
    )  # fmt: skip
    async def submit(
        request: Request,
        name: Annotated[str, Query(max_length=255, json_schema_extra=name_schema, description="Of the file.")],
        study: Annotated[bool, Query(description="Also make a case study of its most reviewed film.")] = False,
        language: Annotated[Language, Query(description="Of the case study.")] = "en",
    ) -> TableState:
        """Take a table, and rate it in the background; where wanted, make a case study of its most reviewed film.

        The id of a table is its secret: who knows it needs no key to get the rated table and the case study.
        """
        _ = loader.model
        content = await request.body()
        if not content:
            raise Problem(422, "invalid_request", "body: the table is empty")
        return await asyncio.to_thread(jobs.submit, name, content, study=study, language=language)

    @app.get("/v1/tables/{table}", dependencies=guarded, summary="How far is a table?", responses=missing)
    async def state(table: str) -> TableState:
        """Say how far a table is, and when it is done, the mean rating of each film."""
        return await asyncio.to_thread(jobs.state, table)

    @app.get(
        "/v1/tables/{table}/rated", summary="Get a rated table", response_class=Response,
        responses={200: _content("text/csv", "The table with its ratings."), **missing, **not_done},
    )  # fmt: skip
    async def rated(table: str) -> Response:
        """Return the table with the ratings behind its own columns, as CSV in UTF-8 that spreadsheets recognise."""
        content = await asyncio.to_thread(jobs.result(table).read_bytes)
        headers = {"Content-Disposition": 'attachment; filename="rated.csv"'}
        return Response(codecs.BOM_UTF8 + content, media_type="text/csv; charset=utf-8", headers=headers)

    @app.get(
        "/v1/tables/{table}/study", summary="Read the case study of a table", response_class=Response,
        responses={200: _content("text/html", "The page."), **missing, **not_done},
    )  # fmt: skip
    async def study(table: str) -> Response:
        """Return the case study of the table's most reviewed film, a page that needs no other."""
        content = await asyncio.to_thread(jobs.study(table).read_bytes)
        policy = STUDY_POLICY.format(scripts=" ".join(f"'{digest}'" for digest in script_digests()))
        return Response(content, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": policy})


def _content(kind: str, description: str) -> dict[str, Any]:
    return {"content": {kind: {"schema": {"type": "string"}}}, "description": description}


def _add_operator_routes(app: FastAPI, loader: ModelLoader, metrics: Metrics) -> None:
    @app.get("/healthz", summary="Is the process alive?")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", summary="Can it rate?")
    async def readyz() -> dict[str, str]:
        _ = loader.model
        return {"status": "ready"}

    @app.get("/metrics", response_class=PlainTextResponse, summary="Metrics for Prometheus")
    async def exposition() -> Response:
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_page(app: FastAPI) -> None:
    folder = files("xingping.serve").joinpath("page")
    for name, kind in PAGE.items():
        path = "/" if name == "index.html" else f"/{name}"
        app.add_api_route(path, _file(folder.joinpath(name).read_bytes(), kind), include_in_schema=False)

    async def font() -> Response:
        """Return the Chinese font, for readers who have none: the page works offline."""
        try:
            path = font_path()
        except UsageError as error:
            raise Problem(404, "not_found", "no font with Chinese characters is installed") from error
        return FileResponse(path, media_type="font/otf", headers={"Cache-Control": "public, max-age=604800"})

    app.add_api_route("/font.otf", font, include_in_schema=False)


def _file(content: bytes, kind: str) -> Callable[[], Awaitable[Response]]:
    async def answer() -> Response:
        return Response(content, media_type=kind)

    return answer


def _add_handlers(app: FastAPI) -> None:
    def answer(request: Request, problem: Problem) -> Response:
        return JSONResponse(problem.body(request.state.request_id), problem.status, problem.headers)

    @app.exception_handler(Problem)
    async def of_problem(request: Request, problem: Problem) -> Response:
        return answer(request, problem)

    @app.exception_handler(RequestValidationError)
    async def of_validation(request: Request, error: RequestValidationError) -> Response:
        # Where and what, never the input itself: it is somebody's review.
        found = [
            f"{'.'.join(str(part)[:40] for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors()[:MOST_DETAILS]
        ]
        return answer(request, Problem(422, "invalid_request", "; ".join(found)))

    @app.exception_handler(HTTPException)
    async def of_status(request: Request, error: HTTPException) -> Response:
        return answer(request, Problem.of_status(error.status_code, error.headers))

    @app.exception_handler(Exception)
    async def of_failure(request: Request, error: Exception) -> Response:  # noqa: ARG001 - told by the log
        message = "the server failed on this request; its log has the request id"
        return answer(request, Problem(500, "internal_error", message))

"""The whole API over some services, with its page and its description."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import cache, partial
from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse
from fastapi.staticfiles import StaticFiles

from deployments.api import (
    document,
    errors,
    events,
    history,
    hls,
    lifecycle,
    media,
    operation,
    preview,
    prompts,
    recording,
    sessions,
    suggestions,
    time_machine,
    websocket,
)
from deployments.api.body import BodyGuard
from deployments.api.idempotency import Idempotent
from deployments.api.models import Health
from deployments.api.problems import problems
from deployments.api.services import Services
from deployments.calls import PartDown

DOCS_FILES = Path(fastapi_offline.__file__).parent / "static"
WEB = Path(__file__).parent.parent / "web"
ROUTES = (
    sessions.routes,
    prompts.routes,
    preview.routes,
    suggestions.routes,
    lifecycle.routes,
    time_machine.routes,
    history.routes,
    events.routes,
    websocket.routes,
    media.routes,
    hls.routes,
    recording.routes,
    operation.routes,
)


def build_api(services: Services, lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]]) -> FastAPI:
    """`/docs` describes it."""
    api = FastAPI(
        title="LongLive",
        summary="Endless video that follows your words while you watch.",
        lifespan=lifespan,
        version="1.0.0",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=document.operation_id,
    )
    api.openapi = cache(partial(document.describe, api))  # type: ignore[method-assign]
    api.add_middleware(Idempotent, keys=services.idempotency)
    api.add_middleware(BodyGuard)
    errors.install(api)
    for routes in ROUTES:
        api.include_router(routes(services))

    @api.get("/healthz", tags=["operation"])
    async def healthz() -> Health:
        """This process answers."""
        return Health(status="ok")

    @api.get("/readyz", tags=["operation"], responses=problems(PartDown))
    async def readyz() -> Health:
        """Store, generators and both encoders answer: sessions can be created and watched."""
        await services.ready()
        return Health(status="ready")

    @api.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(WEB / "index.html")

    @api.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        # FastAPI's own page loads its scripts from elsewhere, and is blank where there is no Internet.
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="LongLive API",
            swagger_js_url="/docs/assets/swagger-ui-bundle.js",
            swagger_css_url="/docs/assets/swagger-ui.css",
            swagger_favicon_url="/docs/assets/favicon.png",
        )

    api.mount("/docs/assets", StaticFiles(directory=DOCS_FILES), name="docs-assets")
    api.mount("/assets", StaticFiles(directory=WEB), name="assets")
    return api

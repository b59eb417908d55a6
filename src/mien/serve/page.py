"""The web page: a client of the API beside it, in plain HTML, CSS and JavaScript; it loads nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import RedirectResponse
from starlette.staticfiles import StaticFiles

from mien.core.aus import AUS
from mien.face.topology import CONTOURS

__all__ = ["add_page"]

_PAGE = Path(__file__).resolve().parent / "page"
router = APIRouter(include_in_schema=False)


@router.get("/")
async def root() -> RedirectResponse:
    """To the page."""
    return RedirectResponse("/ui/")


@router.get("/ui/tables.json")
async def tables() -> dict[str, Any]:
    """What the page needs to name and draw."""
    contours = [[*line, line[0]] if closed else list(line) for line, closed in CONTOURS]
    return {"contours": contours, "aus": {key: unit.name for key, unit in AUS.items()}}


def add_page(app: FastAPI) -> None:
    """Mount the page at ``/ui``."""
    app.include_router(router)
    app.mount("/ui", StaticFiles(directory=_PAGE, html=True), name="ui")

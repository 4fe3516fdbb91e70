"""`POST /v1/dataprep/ingest`, `/get` and `/delete`, as OPEA's dataprep has them."""

from __future__ import annotations

import asyncio
from pathlib import PurePosixPath
from typing import Any

from fastapi import FastAPI, Request
from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, UploadFile

from microservices.retriever.library import File, Library
from microservices.retriever.schemas import DeleteRequest, IngestRequest
from servicekit.asgi.docs import body_docs
from servicekit.errors import InvalidRequestError, NotFoundError
from servicekit.validation import parse_body

_FILES = "files"
_ALL = "all"
#: Reading files is computing; more at the same time would only take turns, and memory.
_AT_ONCE = 2


def add_dataprep_routes(app: FastAPI) -> None:
    """Add the routes; they find the library in the application's state."""
    places = asyncio.Semaphore(_AT_ONCE)

    @app.post("/v1/dataprep/ingest", tags=["dataprep"], summary="Add documents", openapi_extra=_ingest_docs())
    async def ingest(request: Request) -> dict[str, Any]:
        files = await _files_of(request)
        library: Library = request.app.state.library
        async with places:
            documents = await asyncio.to_thread(library.ingest, files)
        told = [{"name": document.name, "passages": document.passage_count} for document in documents]
        return {"status": 200, "message": "Data preparation succeeded", "documents": told}

    @app.post("/v1/dataprep/get", tags=["dataprep"], summary="The documents there are")
    async def get(request: Request) -> list[dict[str, Any]]:
        library: Library = request.app.state.library
        return [
            {"name": document.name, "id": document.name, "type": "File", "parent": "", "origin": document.origin}
            for document in await asyncio.to_thread(library.documents)
        ]

    @app.post(
        "/v1/dataprep/delete",
        tags=["dataprep"],
        summary="Forget a document, or all",
        openapi_extra=body_docs(DeleteRequest),
    )
    async def delete(request: Request) -> dict[str, bool]:
        name = parse_body(await request.body(), DeleteRequest).file_path
        library: Library = request.app.state.library
        count = await asyncio.to_thread(library.delete, None if name == _ALL else name)
        if not count and name != _ALL:
            raise NotFoundError(f"There is no document '{name}'. POST /v1/dataprep/get lists them.", param="file_path")
        return {"status": True}


async def _files_of(request: Request) -> list[File]:
    """Return the files of a form, or the texts of a JSON body, as files.

    Raises:
        InvalidRequestError: There is none, or the form asks for links to be fetched.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        given = parse_body(await request.body(), IngestRequest)
        return [File(_checked_name(item.name), item.text.encode("utf-8", "replace")) for item in given.documents]
    try:
        async with request.form() as form:
            return await _files_in(form)
    except FormParserError as exc:
        raise InvalidRequestError(f"The request's form cannot be read: {exc}.") from exc


async def _files_in(form: FormData) -> list[File]:
    if "link_list" in form:
        raise InvalidRequestError("link_list: links are not fetched here; send the files.", param="link_list")
    uploads = [item for item in form.getlist(_FILES) if isinstance(item, UploadFile)]
    if not uploads:
        message = f"{_FILES}: no file was sent; send a form with one or more, such as `curl -F {_FILES}=@guide.md`."
        raise InvalidRequestError(message, param=_FILES)
    return [File(_checked_name(item.filename or ""), await item.read()) for item in uploads]


def _checked_name(name: str) -> str:
    """Return the last part of a file's name, which is what answers cite.

    Raises:
        InvalidRequestError: Nothing is left of it.
    """
    last = PurePosixPath(name.replace("\\", "/")).name
    if not last or last == _ALL:
        raise InvalidRequestError(f"'{name}' is no file name that a document can have.", param=_FILES)
    return last


def _ingest_docs() -> dict[str, Any]:
    """Return the `openapi_extra` of a route that takes a form or JSON."""
    file = {"type": "string", "format": "binary"}
    form = {"type": "object", "required": [_FILES], "properties": {_FILES: {"type": "array", "items": file}}}
    docs = body_docs(IngestRequest)
    docs["requestBody"]["content"]["multipart/form-data"] = {"schema": form}
    return docs

"""`/files`: https://platform.openai.com/docs/api-reference/files."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import PurePosixPath
from typing import Literal, get_args
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from fastapi.responses import ORJSONResponse
from pydantic import BaseModel
from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response, StreamingResponse

from microservices.assistants.objects.file import File
from microservices.assistants.requests.query import id_query, page_query
from microservices.assistants.routes.asked import check_path, database_of, owner_of
from microservices.assistants.routes.described import PAGE, Query, deleted_model, described, list_model
from microservices.assistants.store import files
from microservices.assistants.store.database import Database
from microservices.assistants.store.paging import page_json
from servicekit.errors import InvalidRequestError
from servicekit.ids import new_id

Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
_PURPOSES = get_args(Purpose)
#: What is held in memory of a file that comes or goes.
_PART_BYTES = 1_000_000
_MAX_NAME = 255
#: https://platform.openai.com/docs/api-reference/files/create#files-create-expires_after
_MIN_EXPIRY_SECONDS, _MAX_EXPIRY_SECONDS = 3_600, 2_592_000
_MAX_LIMIT = 10_000

_UPLOAD = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "purpose": {"type": "string", "enum": list(_PURPOSES)},
        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
        "expires_after[seconds]": {
            "type": "integer", "minimum": _MIN_EXPIRY_SECONDS, "maximum": _MAX_EXPIRY_SECONDS,
        },
    },
}  # fmt: skip


class FileObject(BaseModel):
    """A file as the API shows it."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: Literal["processed"]
    status_details: None


def file_routes() -> APIRouter:
    """Build the routes; they find the store in the application's state."""
    router = APIRouter(tags=["files"], dependencies=[Depends(check_path)])
    upload = described("Upload a file", FileObject)
    upload["openapi_extra"] = {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _UPLOAD}}}
    }
    content = described("Get a file's content", None)
    content["responses"][200] = {"content": {"application/octet-stream": {"schema": {"type": "string"}}}}
    purpose = Query("purpose", {"type": "string"})
    router.post("/files", **upload)(create)
    router.get("/files", **described("List files", list_model(FileObject), query=(*PAGE, purpose)))(list_page)
    router.get("/files/{file_id}", **described("Get a file", FileObject))(get)
    router.get("/files/{file_id}/content", **content)(get_content)
    router.delete("/files/{file_id}", **described("Delete a file", deleted_model("DeletedFile", "file")))(delete)
    return router


async def create(request: Request) -> ORJSONResponse:
    """Take a file; it is searched once it is in a vector store."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise InvalidRequestError("Files come as multipart/form-data, with the parts 'file' and 'purpose'.")
    async with _form_of(request) as form:
        upload = form.get("file")
        if not isinstance(upload, UploadFile):
            raise InvalidRequestError("file: this part is required, with a file name.", param="file")
        file = File(
            id=new_id("file-"),
            owner=owner_of(request),
            created_at=int(time.time()),
            filename=_name_of(upload),
            purpose=_purpose_of(form),
            size_bytes=upload.size or 0,
            expires_at=_expiry_of(form),
        )
        await _store(database_of(request), file, upload)
    return ORJSONResponse(file.to_json())


async def list_page(request: Request) -> ORJSONResponse:
    """List files, or those with one purpose."""
    query = page_query(request, default_limit=_MAX_LIMIT, max_limit=_MAX_LIMIT)
    purpose = id_query(request, "purpose")
    async with database_of(request).read() as connection:
        page = await files.page(connection, owner_of(request), query, purpose)
    return ORJSONResponse(page_json(page, [file.to_json() for file in page.items]))


async def get(request: Request, file_id: str) -> ORJSONResponse:
    """Show a file."""
    async with database_of(request).read() as connection:
        file = await files.get(connection, owner_of(request), file_id)
    return ORJSONResponse(file.to_json())


async def get_content(request: Request, file_id: str) -> Response:
    """Send what was uploaded."""
    database = database_of(request)
    async with database.read() as connection:
        file = await files.get(connection, owner_of(request), file_id)
    headers = {
        "content-length": str(file.size_bytes),
        "content-disposition": f"attachment; filename*=UTF-8''{quote(file.filename)}",
        "x-content-type-options": "nosniff",
    }
    return StreamingResponse(_parts(database, file), headers=headers, media_type="application/octet-stream")


async def delete(request: Request, file_id: str) -> ORJSONResponse:
    """Delete a file, out of every vector store, too."""
    async with database_of(request).write() as connection:
        await files.delete(connection, owner_of(request), file_id)
    return ORJSONResponse({"id": file_id, "object": "file", "deleted": True})


@asynccontextmanager
async def _form_of(request: Request) -> AsyncGenerator[FormData]:
    """Give the parts of a request's body; a large file waits on the disk."""
    try:
        form = await request.form(max_files=1, max_fields=16)
    except FormParserError as exc:
        raise InvalidRequestError(f"The request's body is no multipart form: {exc}.") from exc
    try:
        yield form
    finally:
        await form.close()


async def _store(database: Database, file: File, upload: UploadFile) -> None:
    async with database.write() as connection:
        await files.add(connection, file)
        number = 0
        while data := await upload.read(_PART_BYTES):
            await files.add_part(connection, file.id, number, data)
            number += 1


async def _parts(database: Database, file: File) -> AsyncGenerator[bytes]:
    """Yield a file's content; no connection is held while a slow client reads."""
    number = 0
    while True:
        async with database.read() as connection:
            data = await files.part(connection, file.id, number)
        if data is None:
            return
        yield data
        number += 1


def _name_of(upload: UploadFile) -> str:
    """Return the file's name without the folders that some clients send."""
    name = PurePosixPath((upload.filename or "").replace("\\", "/")).name
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        raise InvalidRequestError(
            f"file: its name must have 1 to {_MAX_NAME} printable characters, found {name[:_MAX_NAME]!r}.",
            param="file",
        )
    return name


def _purpose_of(form: FormData) -> str:
    purpose = form.get("purpose")
    if purpose not in _PURPOSES:
        found = "nothing" if purpose is None else repr(purpose)
        raise InvalidRequestError(f"purpose: expected one of {', '.join(_PURPOSES)}, found {found}.", param="purpose")
    return str(purpose)


def _expiry_of(form: FormData) -> int | None:
    """Return when the file expires; SDKs write nested fields with brackets."""
    anchor, seconds = form.get("expires_after[anchor]"), form.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise InvalidRequestError("expires_after.anchor: expected 'created_at'.", param="expires_after.anchor")
    is_number = isinstance(seconds, str) and seconds.isascii() and seconds.isdigit() and len(seconds) <= 7
    if not is_number or not _MIN_EXPIRY_SECONDS <= int(str(seconds)) <= _MAX_EXPIRY_SECONDS:
        raise InvalidRequestError(
            f"expires_after.seconds: expected {_MIN_EXPIRY_SECONDS} to {_MAX_EXPIRY_SECONDS}, found {seconds!r}.",
            param="expires_after.seconds",
        )
    return int(time.time()) + int(str(seconds))

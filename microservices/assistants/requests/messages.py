"""Messages to be added to a thread.

https://platform.openai.com/docs/api-reference/messages/createMessage
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from microservices.assistants.objects.json_object import JsonObject
from microservices.assistants.objects.message import text_block
from microservices.assistants.requests.body import RequestModel
from microservices.assistants.requests.common import Metadata, ObjectId, refuse_code_interpreter
from microservices.assistants.requests.tools import FileSearchType
from microservices.assistants.runs.new_run import NewMessage

Detail = Literal["auto", "low", "high"]
Text = Annotated[str, Field(min_length=1, max_length=256_000)]


class TextBlock(RequestModel):
    """A piece of text."""

    type: Literal["text"]
    text: Text

    def to_json(self) -> JsonObject:
        """Return the block of the API."""
        return text_block(self.text)


class ImageUrl(RequestModel):
    """Where an image is."""

    url: str = Field(pattern=r"^(https?://|data:image/)")
    detail: Detail = "auto"


class ImageUrlBlock(RequestModel):
    """An image of the web, or within the URL itself."""

    type: Literal["image_url"]
    image_url: ImageUrl

    def to_json(self) -> JsonObject:
        """Return the block of the API."""
        return self.model_dump()


class ImageFile(RequestModel):
    """An image that was uploaded."""

    file_id: ObjectId
    detail: Detail = "auto"


class ImageFileBlock(RequestModel):
    """An uploaded image."""

    type: Literal["image_file"]
    image_file: ImageFile

    def to_json(self) -> JsonObject:
        """Return the block of the API."""
        return self.model_dump()


def _block_kind(item: object) -> str | None:
    kind = item.get("type") if isinstance(item, dict) else getattr(item, "type", None)
    return f"<{kind}>" if kind in ("text", "image_url", "image_file") else None


Block = Annotated[
    Annotated[TextBlock, Tag("<text>")]
    | Annotated[ImageUrlBlock, Tag("<image_url>")]
    | Annotated[ImageFileBlock, Tag("<image_file>")],
    Discriminator(
        _block_kind,
        custom_error_type="block_type",
        custom_error_message="Input should be an object whose 'type' is 'text', 'image_url' or 'image_file'",
    ),
]


def _content_kind(item: object) -> str | None:
    return "<string>" if isinstance(item, str) else "<blocks>" if isinstance(item, list) else None


Content = Annotated[
    Annotated[Text, Tag("<string>")] | Annotated[list[Block], Field(min_length=1), Tag("<blocks>")],
    Discriminator(
        _content_kind,
        custom_error_type="content_type",
        custom_error_message="Input should be a string or an array of content blocks",
    ),
]


class AttachmentTool(RequestModel):
    """The tool that an attached file is for."""

    type: FileSearchType


class Attachment(RequestModel):
    """A file that comes with a message."""

    file_id: ObjectId
    tools: list[Annotated[AttachmentTool, BeforeValidator(refuse_code_interpreter)]] = Field(default_factory=list)


class CreateMessage(RequestModel):
    """The body of `POST /threads/{thread_id}/messages`."""

    role: Literal["user", "assistant"]
    content: Content
    attachments: list[Attachment] | None = None
    metadata: Metadata | None = None
    #: What the API's first version had in the place of attachments.
    file_ids: Annotated[list[ObjectId], Field(max_length=10)] | None = None

    def to_new(self) -> NewMessage:
        """Return the message that is wanted."""
        content: Any = self.content
        blocks = [text_block(content)] if isinstance(content, str) else [block.to_json() for block in content]
        return NewMessage(self.role, blocks, self._attachments(), self.metadata or {})

    def _attachments(self) -> list[JsonObject]:
        of_files = [{"file_id": file_id, "tools": [{"type": "file_search"}]} for file_id in self.file_ids or ()]
        return [attachment.model_dump() for attachment in self.attachments or ()] + of_files


class UpdateMetadata(RequestModel):
    """The body of updates that change the metadata alone: of messages and of runs."""

    metadata: Metadata | None = None

    def changes(self) -> dict[str, Any]:
        """Return the new metadata, if the body names it; null clears it."""
        return {"metadata": self.metadata or {}} if "metadata" in self.model_fields_set else {}

"""What the HTTP capabilities take, as users write it, and what they answer."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from assent.capabilities.fs.world._paths import normal
from assent.invocation import NoEffectError
from assent.spec.capability import SpecModel
from assent.spec.secret_text import marked
from assent.spec.spelled_fields import TEMPLATE_FORMAT
from assent.spec.types import SecretJson, SecretText, Url, WorkspacePath

Template = Annotated[str, Field(min_length=1, max_length=8192, json_schema_extra={"format": TEMPLATE_FORMAT})]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Headers = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=256)], SecretText],
    Field(
        max_length=64,
        description="headers to send; a value may hold `secret://NAME`, and a credential should",
    ),
]
Query = Annotated[
    dict[Annotated[str, Field(max_length=1024)], SecretText | list[SecretText]],
    Field(max_length=256, description="added to the address's query, encoded; a list repeats its name"),
]
Statuses = Annotated[
    list[Annotated[int, Field(ge=100, le=599)]],
    Field(max_length=64, description="statuses from 400 on that are no failure"),
]
Follow = Annotated[
    bool,
    Field(description="go where an answer leads on to; each address is checked like the first"),
]
BodyType = Annotated[
    Literal["json", "text", "form", "base64", "file"],
    Field(
        description="how `body` is read: any JSON, text, an object of texts, base64, or a path in the workspace"
    ),
]
MediaType = Annotated[
    str | None,
    Field(max_length=256, description="the `Content-Type`, where it is not the body type's own"),
]
Expression = Annotated[
    str, Field(min_length=1, max_length=1024, description="JMESPath over `status`, `headers` and `body`")
]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Ask(SpecModel):
    """What to ask for."""

    url: Url
    headers: Headers = Field(default_factory=dict)
    query: Query = Field(default_factory=dict)
    follow_redirects: Follow = True
    accept_status: Statuses = Field(default_factory=list)


class Status(SpecModel):
    """How to find out later whether a request was performed: a question to the service, and what its answer means.

    `{idempotency_key}` in `url` and in a header stands for the key that was sent with the request.
    """

    method: Literal["GET", "HEAD"] = "GET"
    url: Template
    headers: Headers = Field(default_factory=dict)
    happened_when: Expression
    not_happened_when: Expression | None = None


class Send(SpecModel):
    """A request that changes something. Without `status` nobody can tell after a crash whether it was performed."""

    url: Url
    headers: Headers = Field(default_factory=dict)
    query: Query = Field(default_factory=dict)
    body: SecretJson = None
    body_type: BodyType = "json"
    media_type: MediaType = None
    accept_status: Statuses = Field(default_factory=list)
    status: Status | None = None
    honours_key: Annotated[
        bool,
        Field(
            description="the service performs requests with the same `Idempotency-Key` once, so one may be repeated"
        ),
    ] = False

    @model_validator(mode="after")
    def _spell_file(self) -> Self:
        """The path that a body of type `file` is, in its normal form: no schema can say when the body is one."""
        if self.body_type == "file" and isinstance(self.body, str):
            with suppress(NoEffectError):  # refused where the file is read
                self.__dict__["body"] = marked(normal(self.body))
        return self


class Offset(SpecModel):
    """The request that offsets another one, with `{NAME}` where a value of that one's answer goes.

    `from_answer` says which value each name stands for. `{idempotency_key}` is the key that was sent with the first request. A
    name in `url` stands in its path or query; a text of `body` that is nothing but `{NAME}` becomes the value itself.
    """

    method: Literal["POST", "PUT", "PATCH", "DELETE"]
    url: Template
    headers: Headers = Field(default_factory=dict)
    body: SecretJson = None
    body_type: Literal["json", "text", "form", "base64"] = "json"
    media_type: MediaType = None
    from_answer: Annotated[dict[Name, Expression], Field(max_length=32)] = Field(default_factory=dict)
    accept_status: Statuses = Field(default_factory=list)


class SendCompensated(Send):
    """A request that changes something, and the one that offsets it."""

    compensation: Offset


class Download(SpecModel):
    """What to fetch, and the file that it becomes."""

    url: Url
    path: WorkspacePath
    headers: Headers = Field(default_factory=dict)
    query: Query = Field(default_factory=dict)
    follow_redirects: Follow = True
    sha256: Annotated[
        Sha256 | None,
        Field(description="the content's digest; anything else is refused and nothing is written"),
    ] = None
    create_dirs: Annotated[bool, Field(description="make the folders on the way that do not exist")] = False
    overwrite: Annotated[bool, Field(description="replace a file that stands there already")] = False


AnsweredAs = Literal["none", "json", "text", "base64", "blob"]
Count = Annotated[int, Field(ge=0)]


class Head(SpecModel):
    """An answer without its body. `redirects` are the addresses on the way to `url`; `headers` are in lower case."""

    url: str
    status: int
    headers: dict[str, str]
    redirects: list[str]


class Answer(Head):
    """An answer. `body` is JSON, text or base64, as `body_type` says; `size` and `sha256` are of its bytes.

    A body of type `blob` is too large to stand here: `{"blob": SHA-256, "bytes": N}` names what was kept of it beside the output.

    `body_missing` is the code of what kept the body of an answer from being read that told of success all the same.
    """

    body: Any  # `Any`: JSON of any form
    body_type: AnsweredAs
    size: Count
    sha256: str
    body_missing: str | None = None


class Downloaded(SpecModel):
    """A fetched file; `changed` is false when the same stood there already.

    `url` is where it came from in the end, `media_type` what the service called it; null when a crash left only the file.
    """

    path: str
    url: str | None
    media_type: str | None
    size: Count
    sha256: str
    created: bool
    changed: bool
    created_dirs: list[str]

"""The JSON Schema of everything that can be asked and answered, derived from the structs that travel."""

from __future__ import annotations

import json
import re
from typing import Final

import msgspec

from assent.errors import Json
from assent.runtime.service.codec import Asked, answer_type
from assent.runtime.service.requests import OPERATIONS, Asking, Stream, operation_of

_HERE: Final = re.compile(r"assent\.runtime\.service\.|(?<=answers\.)_[a-z]+\.")


def service_schema() -> dict[str, Json]:
    """A schema of a request as it travels; `operations` has the schema of each request and of its answer, by its `op`.

    `stream`: it is answered with any number of such answers. `null` stands for the answer where no process owns the state.
    """
    kinds = OPERATIONS
    types = [Asked, *kinds, *(answer_type(kind) for kind in kinds)]
    refs, components = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    asked, *rest = refs
    operations: dict[str, Json] = {
        operation_of(kind): {
            "summary": (kind.__doc__ or "").split("\n\n")[0].replace("\n    ", " "),
            "request": request,
            "answer": answer,
            "stream": issubclass(kind, Stream),
            "only_of_owner": issubclass(kind, Asking),
        }
        for kind, request, answer in zip(kinds, rest[: len(kinds)], rest[len(kinds) :], strict=True)
    }
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What can be asked of Assent, and what it answers",
        **asked,
        "operations": operations,
        "$defs": components,
    }
    # Two structs of one name are told apart by their module, which is nobody's business, nor which file of `answers` it is.
    named: dict[str, Json] = json.loads(_HERE.sub("", json.dumps(schema)))
    return named

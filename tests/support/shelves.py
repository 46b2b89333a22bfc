"""A shelf that can be searched: what is asked and what is found is told, and no text of either is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from assent import Runtime
from assent.errors import Json
from assent.invocation import Handler, LocalContext
from assent.spec import create_read_capability
from assent.spec.types import UnkeptText
from tests.support.bodies import Bench, Pause

QUERY = "where the quartz lies"
"""No text of these stands in any test's document."""
TEXT = "the quartz lies under the willow"
OTHER = "feldspar is nobody's business"


class Query(BaseModel):
    """What is asked."""

    query: UnkeptText = ""
    limit: int = 5


class Hit(BaseModel):
    """One place."""

    place: str
    text: UnkeptText
    score: int


class Hits(BaseModel):
    """What was found."""

    hits: list[Hit]


@dataclass
class Shelf:
    """What lies on it, by place; `asked` is what it was asked."""

    texts: dict[str, str] = field(default_factory=lambda: {"a.md": TEXT, "b.md": OTHER})
    asked: list[str] = field(default_factory=list)
    pause: Pause | None = None

    async def find(self, context: LocalContext, parameters: Query) -> Hits:
        """Everything, best first."""
        if self.pause is not None:
            await self.pause(context)
        self.asked.append(parameters.query)
        found = [*self.texts.items()][: parameters.limit]
        return Hits(hits=[Hit(place=place, text=text, score=len(text)) for place, text in found])

    def register(self, rt: Runtime, ident: str = "shelf.find", **fields: Any) -> None:
        """The capability that searches it."""
        spec = create_read_capability(
            ident, parameters=Query, returns=Hits, labels={"reads_private"}, **fields
        )
        rt.register(spec, Handler(execute=self.find, parameters=Query, returns=Hits, revision="1"))


def find(name: str = "look", query: str = "${{ inputs.q }}", **fields: Any) -> dict[str, Any]:
    """A step that searches."""
    return {"name": name, "capability": "shelf.find", "inputs": {"query": query}, **fields}


INPUTS: dict[str, Json] = {"q": {"type": "string", "kept": False}}


def told_in(folder: Path, *texts: str) -> list[str]:
    """The files below a folder in which any of the texts stands."""
    found, wanted = [], [text.encode() for text in texts]
    for path in folder.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        if any(text in data for text in wanted):
            found.append(str(path))
    return found


def require_unkept(rt: Bench, root: Path) -> None:
    """Nothing of what was asked or found is in the state, and the record is sound."""
    assert told_in(root / "state", QUERY, TEXT, OTHER) == []
    rt.require_sound_rows()

"""Which model makes vectors of what is indexed and asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

import msgspec
from pydantic import Field, model_validator

from assent.capabilities.knowledge._indexing import reconciled, take_back
from assent.capabilities.knowledge._library import Library
from assent.capabilities.knowledge._models import MODELS, Kept
from assent.invocation import LocalContext, Prepared, Preview, Reconciliation
from assent.spec.capability import SpecModel


class ModelFolder(SpecModel):
    """Which model."""

    folder: Annotated[
        str | None,
        Field(
            pattern="^/", max_length=4_096, description="where it is on this machine; without: words alone"
        ),
    ] = None
    endpoint: Annotated[
        str | None,
        Field(max_length=128, description="or behind which endpoint of `[knowledge.endpoints]`"),
    ] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.folder is not None and self.endpoint is not None:
            raise ValueError("name a `folder` or an `endpoint`, not both")
        return self


class Model(SpecModel):
    """A model, and what it is known by."""

    name: str
    digest: str
    size: int
    """Components of its vectors."""
    converted: str
    """SHA-256 of what it was converted to; empty for one behind an endpoint."""
    files: dict[str, str]
    """SHA-256 of each of its files; for one behind an endpoint its address, with that of address, name and size."""


class Used(SpecModel):
    """The model from now on."""

    model: Model | None
    generation: int


class UseModelEffect:
    """The store has a model from now on, or none; undo has the one of before again."""

    def preview(self, context: LocalContext, parameters: ModelFolder) -> Preview:
        """Which folder, or where everything is sent. Nothing is told of a folder of this machine before somebody has agreed."""
        what, base = "finds by words alone", None
        if parameters.folder is not None:
            from assent.knowledge.embedding import stamp_of

            what, base = f"uses the model in `{parameters.folder}`", stamp_of(Path(parameters.folder))
        elif parameters.endpoint is not None:
            endpoint = context.app.get(Library).models.endpoint(parameters.endpoint)
            (url,), base = endpoint.record.files, endpoint.record.digest
            what = f"sends what is indexed and asked, without the secrets that are found in it, to `{url}`"
        return Preview("text", f"{what}; the vectors of any other model are made anew", base)

    def prepare(self, context: LocalContext) -> Prepared:
        """Which change of models was the last."""
        return Prepared({"before": context.app.get(Library).store.last(MODELS).number})

    def execute(self, context: LocalContext, parameters: ModelFolder) -> Used:
        """Convert it, and take down what it is."""
        library = context.app.get(Library)
        if parameters.folder is not None:
            context.progress(0, message="converting the model, once: 100 MB take about half a minute")
        model = model_of(library.models.use(parameters.folder, parameters.endpoint, context))
        return Used(model=model, generation=library.store.last(MODELS).number)

    def reconcile(self, context: LocalContext) -> Reconciliation:
        """Without a later generation it did nothing. What is used already is not taken down again."""
        return reconciled(context, MODELS)

    def compensate(self, context: LocalContext) -> None:
        """Have the model of before."""
        take_back(context, MODELS, "the model was")


def model_of(kept: Kept | None) -> Model | None:
    if kept is None:
        return None
    return Model(digest=kept.record.digest, **msgspec.structs.asdict(kept.record))

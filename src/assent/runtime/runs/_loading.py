"""Reading what the operator and the caller wrote: the policy in force, workflow files and those that they inline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from assent.errors import InputError, Json
from assent.policy import PolicyEngine
from assent.runtime.settings.effective import Settings
from assent.spec.documents.document import Document, load_yaml
from assent.spec.workflow.definition import WorkflowSpec

WorkflowSource: TypeAlias = "WorkflowSpec | Mapping[str, Json] | Path | str"
"""A workflow: parsed, as data, or the path of its file."""


def load_workflow(workflow: WorkflowSource) -> WorkflowSpec:
    """The workflow that a path, data or a parsed one is.

    Raises what `WorkflowSpec.from_document` raises, FILE_MISSING, INVALID_INPUT.
    """
    if isinstance(workflow, WorkflowSpec):
        return workflow
    if isinstance(workflow, Mapping):
        return WorkflowSpec.from_dict(workflow)
    given: object = workflow  # Nobody checks a program's types for it.
    if not isinstance(given, Path | str):
        fault = "`workflow` must be a path, a document or a parsed workflow"
        raise InputError("INVALID_INPUT", fault, path="workflow", hint="give the path of its file")
    path = Path(given)
    return WorkflowSpec.load(read_document(path), source=str(path), resolve=sibling_reader(path.parent))


def load_policy(settings: Settings) -> PolicyEngine:
    """The policy in force, the built-in one where no file is named; POLICY_MISSING, POLICY_INVALID, POLICY_PERMISSIONS."""
    text = settings.policy_bytes()
    if text is None:
        return PolicyEngine.builtin()
    try:
        return PolicyEngine.load(text, source=str(settings.policy_path))
    except InputError as fault:
        # Nothing runs until this is mended, so the way to everything else that is wrong is always shown.
        fault.hint = fault.hint or f"`assent policy check {settings.policy_path}` shows everything at once"
        raise


def read_document(path: Path) -> bytes:
    """A workflow file's bytes; `FILE_MISSING` or `FILE_UNREADABLE`."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError("FILE_MISSING", f"there is no file `{path}`", path=str(path)) from None
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise InputError(
            "FILE_UNREADABLE", f"`{path}` can't be read: {reason.lower()}", path=str(path)
        ) from None
    except ValueError:  # A zero byte, or half of a surrogate pair, which no name of a file holds.
        raise InputError("FILE_MISSING", f"there is no file {str(path)!r}", path=str(path)) from None


def sibling_reader(folder: Path) -> Callable[[str], Document]:
    """Reads the files that a workflow inlines, by their path relative to its own folder."""

    def read(name: str) -> Document:
        path = folder / name
        return load_yaml(read_document(path), source=str(path))

    return read

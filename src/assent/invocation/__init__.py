"""One call from start to end: its context, the handler's parts, validation of what goes in and comes out."""

from assent.invocation._bound import BoundCapability, invalid
from assent.invocation._invoker import CallTimeoutError, Invoker
from assent.invocation.context import BlobStore, CancelToken, LocalContext, World
from assent.invocation.files import Entry, EntryKind, Files
from assent.invocation.handler import Handler, NoEffectError, Prepared, Preview, Reconciliation
from assent.invocation.metrics import Metrics

__all__ = [
    "BlobStore",
    "BoundCapability",
    "CallTimeoutError",
    "CancelToken",
    "Entry",
    "EntryKind",
    "Files",
    "Handler",
    "Invoker",
    "LocalContext",
    "Metrics",
    "NoEffectError",
    "Prepared",
    "Preview",
    "Reconciliation",
    "World",
    "invalid",
]

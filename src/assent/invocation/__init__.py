"""One call from start to end: its context, the handler's parts, validation of what goes in and comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.invocation.app._bounded import Spawn
    from assent.invocation.app._config import Config
    from assent.invocation.app._health import ApplicationHealth, Health, HealthStatus
    from assent.invocation.app._modules import ModuleLimits
    from assent.invocation.app._shared_state import Owned, SharedState
    from assent.invocation.app.application import GlobalContext
    from assent.invocation.app.metrics import Metrics
    from assent.invocation.call._bound import BoundCapability
    from assent.invocation.call._invocation import Invocation, as_error, hide_in_error
    from assent.invocation.call._invoker import CallNotBegunError, CallTimeoutError, Invoker
    from assent.invocation.call._pipeline import Pipeline
    from assent.invocation.call._restore import restore_call
    from assent.invocation.call._translated import TranslatedCapability
    from assent.invocation.call._waiting import Rest
    from assent.invocation.call.exposure import require_unexposed
    from assent.invocation.call.limits import Place, Quotas, RateLimit, RateLimited, RateLimiter, Uses
    from assent.invocation.call.places import Places, Share
    from assent.invocation.call.ports import Gate
    from assent.invocation.context._hook_records import HookKind, HookLevel, HookRecord
    from assent.invocation.context._request_notes import AnswerNote, RequestNote
    from assent.invocation.context.files import Entry, EntryKind, Files
    from assent.invocation.context.local import (
        EXECUTE_CAPTURED,
        Attachment,
        BlobStore,
        CancelToken,
        LocalContext,
        World,
        attached_in,
    )
    from assent.invocation.context.phases import CALL_ENTRIES, CALL_TRANSITIONS, CallPhase
    from assent.invocation.context.snapshot import Snapshot
    from assent.invocation.context.state import CallState, StateKey
    from assent.invocation.context.tasks import SpawnedTask
    from assent.invocation.describe.declaration import Capability, capabilities_in, capability, described
    from assent.invocation.describe.handler import (
        DeferredHandler,
        Handler,
        LeadsTo,
        NoEffectError,
        Prepared,
        Preview,
        Reconciliation,
    )
    from assent.invocation.hooks.hook import Hook, HookedCall, Hooks
    from assent.invocation.hooks.lifecycle import (
        CallNames,
        Lifecycle,
        LifecycleEvent,
        Stage,
        Subject,
        Subscription,
    )
    from assent.secrets.access import (
        AccessOutcome,
        EnvironmentSecrets,
        Fetched,
        Secret,
        SecretAccess,
        SecretLimits,
        SecretProvider,
        Secrets,
        SecretSourceError,
        secret_binding,
    )
    from assent.secrets.grants import SecretGrant
    from assent.versions.transformers import Transformer, VersionChain

_HOMES = {
    ".app._bounded": "Spawn",
    ".app._config": "Config",
    ".app._health": "ApplicationHealth Health HealthStatus",
    ".app._modules": "ModuleLimits",
    ".app._shared_state": "Owned SharedState",
    ".app.application": "GlobalContext",
    ".app.metrics": "Metrics",
    ".call._bound": "BoundCapability",
    ".call._invocation": "Invocation as_error hide_in_error",
    ".call._invoker": "CallNotBegunError CallTimeoutError Invoker",
    ".call._pipeline": "Pipeline",
    ".call._restore": "restore_call",
    ".call._translated": "TranslatedCapability",
    ".call._waiting": "Rest",
    ".call.exposure": "require_unexposed",
    ".call.limits": "Place Quotas RateLimit RateLimited RateLimiter Uses",
    ".call.places": "Places Share",
    ".call.ports": "Gate",
    ".context._hook_records": "HookKind HookLevel HookRecord",
    ".context._request_notes": "AnswerNote RequestNote",
    ".context.files": "Entry EntryKind Files",
    ".context.local": "Attachment BlobStore CancelToken EXECUTE_CAPTURED LocalContext World attached_in",
    ".context.phases": "CALL_ENTRIES CALL_TRANSITIONS CallPhase",
    ".context.snapshot": "Snapshot",
    ".context.state": "CallState StateKey",
    ".context.tasks": "SpawnedTask",
    ".describe.declaration": "Capability capabilities_in capability described",
    ".describe.handler": "DeferredHandler Handler LeadsTo NoEffectError Prepared Preview Reconciliation",
    ".hooks.hook": "Hook HookedCall Hooks",
    ".hooks.lifecycle": "CallNames Lifecycle LifecycleEvent Stage Subject Subscription",
    "assent.secrets.access": "AccessOutcome EnvironmentSecrets Fetched Secret SecretAccess SecretLimits SecretProvider "
    "SecretSourceError Secrets secret_binding",
    "assent.secrets.grants": "SecretGrant",
    "assent.versions.transformers": "Transformer VersionChain",
}

__all__ = [
    "CALL_ENTRIES", "CALL_TRANSITIONS", "EXECUTE_CAPTURED", "AccessOutcome", "AnswerNote",
    "ApplicationHealth", "Attachment", "BlobStore", "BoundCapability", "CallNames", "CallNotBegunError",
    "CallPhase", "CallState", "CallTimeoutError", "CancelToken", "Capability", "Config", "DeferredHandler",
    "Entry", "EntryKind", "EnvironmentSecrets", "Fetched", "Files", "Gate", "GlobalContext", "Handler",
    "Health", "HealthStatus", "Hook", "HookKind", "HookLevel", "HookRecord", "HookedCall", "Hooks",
    "Invocation", "Invoker", "LeadsTo", "Lifecycle", "LifecycleEvent", "LocalContext", "Metrics", "ModuleLimits",
    "NoEffectError", "Owned", "Pipeline", "Place", "Places", "Prepared", "Preview", "Quotas", "RateLimit",
    "RateLimited", "RateLimiter", "Reconciliation", "RequestNote", "Rest", "Secret", "SecretAccess", "SecretGrant",
    "SecretLimits", "SecretProvider", "SecretSourceError", "Secrets", "Share", "SharedState", "Snapshot",
    "Spawn", "SpawnedTask", "Stage", "StateKey", "Subject", "Subscription", "Transformer", "TranslatedCapability",
    "Uses", "VersionChain", "World", "as_error", "attached_in", "capabilities_in", "capability", "described",
    "hide_in_error", "require_unexposed", "restore_call", "secret_binding",
]  # fmt: skip

__getattr__, __dir__ = resolved_when_asked(__name__, _HOMES)

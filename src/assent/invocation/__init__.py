"""One call from start to end: its context, the handler's parts, validation of what goes in and comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
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
    from assent.invocation.call.limits import RateLimit, RateLimited, RateLimiter
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
    from assent.invocation.describe.declaration import Capability, capabilities_in, capability, described
    from assent.invocation.describe.handler import (
        DeferredHandler,
        Handler,
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
    "AccessOutcome": "assent.secrets.access",
    "AnswerNote": ".context._request_notes",
    "ApplicationHealth": ".app._health",
    "Attachment": ".context.local",
    "BlobStore": ".context.local",
    "BoundCapability": ".call._bound",
    "CALL_ENTRIES": ".context.phases",
    "CALL_TRANSITIONS": ".context.phases",
    "CallNames": ".hooks.lifecycle",
    "CallNotBegunError": ".call._invoker",
    "CallPhase": ".context.phases",
    "CallState": ".context.state",
    "CallTimeoutError": ".call._invoker",
    "CancelToken": ".context.local",
    "Capability": ".describe.declaration",
    "Config": ".app._config",
    "DeferredHandler": ".describe.handler",
    "EXECUTE_CAPTURED": ".context.local",
    "Entry": ".context.files",
    "EntryKind": ".context.files",
    "EnvironmentSecrets": "assent.secrets.access",
    "Fetched": "assent.secrets.access",
    "Files": ".context.files",
    "Gate": ".call.ports",
    "GlobalContext": ".app.application",
    "Handler": ".describe.handler",
    "Health": ".app._health",
    "HealthStatus": ".app._health",
    "Hook": ".hooks.hook",
    "HookKind": ".context._hook_records",
    "HookLevel": ".context._hook_records",
    "HookRecord": ".context._hook_records",
    "HookedCall": ".hooks.hook",
    "Hooks": ".hooks.hook",
    "Invocation": ".call._invocation",
    "Invoker": ".call._invoker",
    "Lifecycle": ".hooks.lifecycle",
    "LifecycleEvent": ".hooks.lifecycle",
    "LocalContext": ".context.local",
    "Metrics": ".app.metrics",
    "ModuleLimits": ".app._modules",
    "NoEffectError": ".describe.handler",
    "Owned": ".app._shared_state",
    "Pipeline": ".call._pipeline",
    "Places": ".call.places",
    "Prepared": ".describe.handler",
    "Preview": ".describe.handler",
    "RateLimit": ".call.limits",
    "RateLimited": ".call.limits",
    "RateLimiter": ".call.limits",
    "Reconciliation": ".describe.handler",
    "RequestNote": ".context._request_notes",
    "Rest": ".call._waiting",
    "Secret": "assent.secrets.access",
    "SecretAccess": "assent.secrets.access",
    "SecretGrant": "assent.secrets.grants",
    "SecretLimits": "assent.secrets.access",
    "SecretProvider": "assent.secrets.access",
    "SecretSourceError": "assent.secrets.access",
    "Secrets": "assent.secrets.access",
    "Share": ".call.places",
    "SharedState": ".app._shared_state",
    "Snapshot": ".context.snapshot",
    "Stage": ".hooks.lifecycle",
    "StateKey": ".context.state",
    "Subject": ".hooks.lifecycle",
    "Subscription": ".hooks.lifecycle",
    "Transformer": "assent.versions.transformers",
    "TranslatedCapability": ".call._translated",
    "VersionChain": "assent.versions.transformers",
    "World": ".context.local",
    "as_error": ".call._invocation",
    "attached_in": ".context.local",
    "capabilities_in": ".describe.declaration",
    "capability": ".describe.declaration",
    "described": ".describe.declaration",
    "hide_in_error": ".call._invocation",
    "require_unexposed": ".call.exposure",
    "restore_call": ".call._restore",
    "secret_binding": "assent.secrets.access",
}

__all__ = [
    "CALL_ENTRIES",
    "CALL_TRANSITIONS",
    "EXECUTE_CAPTURED",
    "AccessOutcome",
    "AnswerNote",
    "ApplicationHealth",
    "Attachment",
    "BlobStore",
    "BoundCapability",
    "CallNames",
    "CallNotBegunError",
    "CallPhase",
    "CallState",
    "CallTimeoutError",
    "CancelToken",
    "Capability",
    "Config",
    "DeferredHandler",
    "Entry",
    "EntryKind",
    "EnvironmentSecrets",
    "Fetched",
    "Files",
    "Gate",
    "GlobalContext",
    "Handler",
    "Health",
    "HealthStatus",
    "Hook",
    "HookKind",
    "HookLevel",
    "HookRecord",
    "HookedCall",
    "Hooks",
    "Invocation",
    "Invoker",
    "Lifecycle",
    "LifecycleEvent",
    "LocalContext",
    "Metrics",
    "ModuleLimits",
    "NoEffectError",
    "Owned",
    "Pipeline",
    "Places",
    "Prepared",
    "Preview",
    "RateLimit",
    "RateLimited",
    "RateLimiter",
    "Reconciliation",
    "RequestNote",
    "Rest",
    "Secret",
    "SecretAccess",
    "SecretGrant",
    "SecretLimits",
    "SecretProvider",
    "SecretSourceError",
    "Secrets",
    "Share",
    "SharedState",
    "Snapshot",
    "Stage",
    "StateKey",
    "Subject",
    "Subscription",
    "Transformer",
    "TranslatedCapability",
    "VersionChain",
    "World",
    "as_error",
    "attached_in",
    "capabilities_in",
    "capability",
    "described",
    "hide_in_error",
    "require_unexposed",
    "restore_call",
    "secret_binding",
]

__getattr__, __dir__ = resolved_when_asked(__name__, _HOMES)

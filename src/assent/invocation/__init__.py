"""One call from start to end: its context, the handler's parts, validation of what goes in and comes out."""

from assent.invocation._bound import BoundCapability
from assent.invocation._config import Config
from assent.invocation._health import ApplicationHealth, Health, HealthStatus
from assent.invocation._hook_records import HookKind, HookLevel, HookRecord
from assent.invocation._invocation import Invocation, as_error, hide_in_error
from assent.invocation._invoker import CallTimeoutError, Invoker
from assent.invocation._modules import ModuleLimits
from assent.invocation._notes import AnswerNote, RequestNote
from assent.invocation._pipeline import Pipeline
from assent.invocation._restore import restore_call
from assent.invocation._secret_grants import SecretGrant
from assent.invocation._shared_state import Owned, SharedState
from assent.invocation._translated import TranslatedCapability
from assent.invocation._waiting import Rest
from assent.invocation.application import GlobalContext
from assent.invocation.context import (
    EXECUTE_CAPTURED,
    Attachment,
    BlobStore,
    CancelToken,
    LocalContext,
    World,
    attached_in,
)
from assent.invocation.declaration import Capability, capabilities_in, capability, described
from assent.invocation.exposure import require_unexposed
from assent.invocation.files import Entry, EntryKind, Files
from assent.invocation.handler import (
    DeferredHandler,
    Handler,
    NoEffectError,
    Prepared,
    Preview,
    Reconciliation,
)
from assent.invocation.hooks import Hook, HookedCall, Hooks
from assent.invocation.lifecycle import CallNames, Lifecycle, LifecycleEvent, Stage, Subject, Subscription
from assent.invocation.limits import RateLimit, RateLimited, RateLimiter
from assent.invocation.metrics import Metrics
from assent.invocation.phases import CALL_ENTRIES, CALL_TRANSITIONS, CallPhase
from assent.invocation.ports import Gate
from assent.invocation.secrets import (
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
from assent.invocation.snapshot import Snapshot
from assent.invocation.state import CallState, StateKey
from assent.invocation.transformers import Transformer, VersionChain

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

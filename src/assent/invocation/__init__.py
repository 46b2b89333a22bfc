"""One call from start to end: its context, the handler's parts, validation of what goes in and comes out."""

from assent.invocation._bound import BoundCapability, invalid
from assent.invocation._config import Config
from assent.invocation._health import ApplicationHealth, Health, HealthStatus
from assent.invocation._invoker import CallTimeoutError, Invoker
from assent.invocation._modules import ModuleLimits
from assent.invocation._shared_state import Owned, SharedState
from assent.invocation.application import GlobalContext
from assent.invocation.context import BlobStore, CancelToken, LocalContext, World
from assent.invocation.declaration import Capability, capabilities_in, capability, described
from assent.invocation.files import Entry, EntryKind, Files
from assent.invocation.handler import Handler, NoEffectError, Prepared, Preview, Reconciliation
from assent.invocation.limits import RateLimit, RateLimited, RateLimiter
from assent.invocation.metrics import Metrics
from assent.invocation.secrets import (
    AccessOutcome,
    EnvironmentSecrets,
    Fetched,
    Secret,
    SecretAccess,
    SecretLimits,
    SecretProvider,
    Secrets,
)

__all__ = [
    "AccessOutcome",
    "ApplicationHealth",
    "BlobStore",
    "BoundCapability",
    "CallTimeoutError",
    "CancelToken",
    "Capability",
    "Config",
    "Entry",
    "EntryKind",
    "EnvironmentSecrets",
    "Fetched",
    "Files",
    "GlobalContext",
    "Handler",
    "Health",
    "HealthStatus",
    "Invoker",
    "LocalContext",
    "Metrics",
    "ModuleLimits",
    "NoEffectError",
    "Owned",
    "Prepared",
    "Preview",
    "RateLimit",
    "RateLimited",
    "RateLimiter",
    "Reconciliation",
    "Secret",
    "SecretAccess",
    "SecretLimits",
    "SecretProvider",
    "Secrets",
    "SharedState",
    "World",
    "capabilities_in",
    "capability",
    "described",
    "invalid",
]

"""The events of deliveries. These go on after the run that queued them: their events stand in no run, and name it as `source`."""

from assent.spec.events._event import Act, Event
from assent.spec.ids import RunId, StepKey


class DeliveryAttempted(Event, frozen=True, kw_only=True, tag="delivery.attempted"):
    """An attempt at a delivery asked for the secret that signs it; recorded before it has the value, and before it sends.

    `outcome`, `provider` and `binding` are those of `secret.accessed`; what is bound as the attempt is `DELIVERY/ATTEMPT`.
    """

    delivery: str
    source: RunId
    step: StepKey
    attempt: int
    secret: str
    outcome: str
    provider: str | None = None
    binding: str | None = None


class DeliveryEnded(Act, frozen=True, kw_only=True, tag="delivery.ended"):
    """A delivery is attempted no more: `outcome` is `delivered`, `failed` or `cancelled`.

    `status` is the last answer's of HTTP, `code` says why there was none. `by` is who ended it, where a person did.
    """

    delivery: str
    source: RunId
    step: StepKey
    outcome: str
    attempts: int = 0
    status: int | None = None
    code: str | None = None
    by: str | None = None


class DeliveryRetried(Act, frozen=True, kw_only=True, tag="delivery.retried"):
    """Somebody asked for a delivery to be attempted now, also when it had failed for good."""

    delivery: str
    source: RunId
    step: StepKey
    by: str

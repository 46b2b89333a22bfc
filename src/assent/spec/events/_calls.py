"""What calls ask for while they run: secrets, and requests through `context.http`."""

from assent.spec.events._event import OfAttempt
from assent.spec.ids import Commitment


class SecretAccessed(OfAttempt, frozen=True, kw_only=True, tag="secret.accessed"):
    """A call asked for a secret; recorded before it has the value. `outcome` is `fetched`, `cached`, `refused`, `missing` or
    `failed`.

    `binding` is HMAC-SHA256 over run, step, attempt, name and value under a key that is derived from the ledger's own: whoever
    has that key can later tell whether a value is the one that was used, and nobody else can guess it.
    """

    secret: str
    outcome: str
    provider: str | None = None
    binding: str | None = None


class HttpRequested(OfAttempt, frozen=True, kw_only=True, tag="http.requested"):
    """A call is about to send a request, its `number`-th; recorded before anything is sent.

    `request` binds it as people may see it: credentials masked, secrets by their names. Where `method` is one of MCP
    (`elicitation/create`), what leaves is the answer of an agent's client to a server's question: it binds the question, who
    answered, and the answer's digest.
    """

    number: int
    method: str
    request: Commitment


class HttpAnswered(OfAttempt, frozen=True, kw_only=True, tag="http.answered"):
    """How a request ended: the answer's `status` and the bytes of its body, or the code of what there was instead."""

    number: int
    status: int | None = None
    size: int = 0
    code: str | None = None

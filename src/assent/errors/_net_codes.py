"""Codes of requests that leave this machine."""

from __future__ import annotations

from typing import Final

from assent.errors._explanation import Explanation

NET_CODES: Final[dict[str, Explanation]] = {
    "URL_INVALID": Explanation(
        "An address is none, or one that two readers could understand differently: with credentials, a backslash, odd numbers.",
        "Write it plainly: `https://example.org/path?name=value`. Nothing was sent.",
    ),
    "EGRESS_DENIED": Explanation(
        "A request may not leave: no rule of `[net]` names where it would go, or an address of the host is no public one. "
        "Nothing was sent.",
        "`details.rule` is the rule that would allow it; whether it should is the operator's decision.",
    ),
    "HTTP_REQUEST_INVALID": Explanation(
        "A request can't be sent as it was written: a header, a body, an expression or a placeholder is not right.",
        "Mend what the path names. Nothing was sent.",
    ),
    "HTTP_REQUEST_TOO_LARGE": Explanation(
        "The body of a request is larger than `request_bytes` of `[net]`.", "Send less, or raise the limit."
    ),
    "HTTP_TOO_EARLY": Explanation(
        "A `preview`, a `prepare` or a hook sends a request through `context.http`, or a part does whose call is over. Nothing "
        "was sent.",
        "Send it in `execute`, `reconcile` or `compensate`, after the decision and the intent are on the record.",
    ),
    "HTTP_TOO_MANY": Explanation(
        "One call sent as many requests through `context.http` as one may, or waits for as many answers at once.",
        "Wait for answers; ask for several things with one request; make several calls of it.",
    ),
    "HTTP_UNAVAILABLE": Explanation(
        "A call that a test makes sends a request through `context.http`. Tests send none by themselves.",
        "`assent plugin test NAME --send` lets the plugin's examples be sent, within what it declares and `[net]` opens.",
    ),
    "HTTP_DNS_FAILED": Explanation(
        "The name of a host has no address, or the resolver did not answer. Nothing was sent.",
        "Look at the spelling, and at the machine's resolver.",
    ),
    "HTTP_CONNECT_FAILED": Explanation(
        "No address of a host took the connection. Nothing was sent.",
        "Look whether the service runs, and at its port.",
    ),
    "HTTP_TLS_FAILED": Explanation(
        "A connection can't be trusted: the certificate is not this host's, expired, or of a stranger. Nothing was sent.",
        "Name a private authority with `ca_bundle` in `[net]`. Verification can't be switched off.",
    ),
    "HTTP_TIMEOUT": Explanation(
        "A service went silent, or the whole request took longer than it may.",
        "Try again, or raise a time in `[net]`. What a request did that changes something is unknown then.",
    ),
    "HTTP_BROKEN": Explanation(
        "A connection broke off, or what came over it was no HTTP.",
        "Look at the service. What a request did that changes something is unknown then.",
    ),
    "HTTP_STATUS": Explanation(
        "The service answered with a status from 400 on; `details` has what it said.",
        "Mend the request, or list the status in `accept_status` where it is no failure.",
    ),
    "HTTP_REDIRECTS": Explanation(
        "The answers led on more often than `redirects` of `[net]` allows, perhaps in a circle.",
        "Call the address that it should end at.",
    ),
    "HTTP_REDIRECT_REFUSED": Explanation(
        "An answer leads on to where a request must not follow: away from encryption, or with a request that changes something.",
        "Call the right address yourself.",
    ),
    "HTTP_HEADERS_TOO_LARGE": Explanation(
        "The headers of an answer are larger than `header_bytes` of `[net]`, or than 100 KiB, or are more than 512.",
        "Raise the limit if the service is trusted; the other two stand.",
    ),
    "HTTP_BODY_TOO_LARGE": Explanation(
        "An answer is larger than `answer_bytes` of `[net]` (`context.http`: than 64 MiB), or a download than `download_bytes`.",
        "Fetch it with `net.http.download`, ask for less at a time, or raise the limit.",
    ),
    "HTTP_BOMB": Explanation(
        "An answer unpacks to many times more than what was sent, or is packed in thousands of empty parts; it was stopped.",
        "If the service is trusted, raise `ratio` in `[net]`.",
    ),
    "HTTP_ENCODING": Explanation(
        "An answer is packed in a way that was not asked for and is not read.",
        "The service has to answer unpacked, with gzip, or with zstd.",
    ),
    "HTTP_DIGEST_MISMATCH": Explanation(
        "A download has another SHA-256 than was asked for; nothing was written.",
        "Compare both digests, and find out which of them is wrong.",
    ),
}

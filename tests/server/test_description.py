"""The HTTP API held to its own description by schemathesis, with all its checks: what is described is answered as described, and
what is not is refused.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from tests.support.serving import daemon, key_for, over_tcp

EXAMPLES = 2
"""For each operation, of valid data and of invalid."""

ACCEPTED = ["2xx", 400, 401, 403, 404, 409, 422, 429, 503]
"""With 400 and 422: a schema can't say what a document inside a text looks like, or how large a number of JSON may be."""


def checked(address: str, key: str, phases: list[str]) -> tuple[int, list[str]]:
    """How many requests were made, and what was found."""
    config = SchemathesisConfig.from_dict(
        {
            "seed": 12,
            "headers": {"Authorization": f"Bearer {key}"},
            "base-url": address,
            "continue-on-failure": True,
            "request-timeout": 20,
            "max-stream-events": 1,
            "phases": {
                one: {"enabled": one in phases} for one in ("examples", "coverage", "fuzzing", "stateful")
            },
            "generation": {
                "max-examples": EXAMPLES,
                "deterministic": True,
                "no-shrink": True,
                "database": "none",
            },
            "checks": {
                "positive_data_acceptance": {"expected-statuses": ACCEPTED},
                "not_a_server_error": {"expected-statuses": ["2xx", "3xx", "4xx", 503]},
            },
        }
    )
    schema = schemathesis.openapi.from_url(
        f"{address}/v1/openapi.json", headers={"Authorization": f"Bearer {key}"}, config=config
    )
    # It would revoke the key that it comes with.
    count, found = 0, list[str]()
    for event in from_schema(schema.exclude(operation_id="revoke_key")).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            found.append(repr(event))
        if isinstance(event, events.ScenarioFinished):
            count += len(event.recorder.interactions)
            for ident, checks in event.recorder.checks.items():
                case = event.recorder.cases[ident].value
                for check in checks:
                    if check.failure_info is not None:
                        answer = event.recorder.interactions[ident].response
                        body = answer.text[:300] if answer is not None else ""
                        found.append(f"{case.as_curl_command()}\n{check.failure_info.failure}\n{body}")
    return count, found


async def test_what_is_described_is_what_is_answered(root: Path, env: dict[str, str]) -> None:
    over_tcp(root, wait='"1s"')
    async with daemon(root, env) as served:
        key = key_for(root, env)
        count, found = await asyncio.to_thread(checked, served.doors["http"], key, ["fuzzing"])
    assert not found, "\n\n".join(found[:20])
    assert count > 150

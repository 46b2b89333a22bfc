"""What the official suite asks is answered as it was: `python -m tools.mcp_suite --record` records it anew."""

from __future__ import annotations

import httpx2

from tests.support.patience import PATIENCE_S
from tests.support.suite import served
from tests.support.transcripts import TRANSCRIPTS, replayed, unpacked


async def test_the_official_suite_is_answered_as_it_was(clean_env: dict[str, str]) -> None:
    scenarios = unpacked(TRANSCRIPTS.read_text())
    async with served(clean_env) as (url, key):
        headers = {"authorization": f"Bearer {key}"}
        async with httpx2.AsyncClient(
            base_url=f"{url}/mcp/suite", headers=headers, timeout=PATIENCE_S
        ) as http:
            found = {name: await replayed(http, exchanges) for name, exchanges in scenarios.items()}
    assert not {name: differences for name, differences in found.items() if differences}

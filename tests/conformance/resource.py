"""`resource.*`: what is seen is what the registry holds, without the moments."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Final

from assent.errors import Json
from assent.runtime import Runtime
from assent.runtime.service import process, requests
from assent.runtime.settings.effective import Settings
from tests.conformance.case import Case, Cell, Escape, Inputs, Stage

_WORDS: Final = "admin\nlogin\n"
_NAME: Final = "res://project/shop/wordlist/common:1.0.0"
_PUBLISH: Final[dict[str, Json]] = {"reference": _NAME, "path": "words.txt"}
_AT_ONCE: Final = "it writes one small file, and looks at none of the workspace while it does"
_ODD: Final[dict[str, Json]] = {"reference": "../../outside/canary.txt"}


def _settings(stage: Stage) -> Settings:
    return Settings.resolve(workspace=stage.workspace, environ=stage.env, cwd=stage.workspace)


def published(stage: Stage) -> None:
    """A version is there."""

    async def called() -> None:
        async with Runtime(_settings(stage)) as runtime:
            result = await runtime.call("resource.publish", {"reference": _NAME, "text": _WORDS})
            assert result.status == "succeeded", result.error

    with ThreadPoolExecutor(1) as pool:  # the test has a loop of its own
        pool.submit(lambda: asyncio.run(called())).result()


def kept(stage: Stage) -> object:
    """What the registry holds."""
    found = process.perform(requests.Resources(retired=True), _settings(stage)).resources
    return [(one.reference, one.sha256, one.promoted_from, one.retired_at is None) for one in found]


def changing(
    verb: str, inputs: Mapping[str, Json], arrange: Callable[[Stage], None], bad: list[Inputs]
) -> Case:
    """A case of what changes the registry."""
    return Case(
        f"resource.{verb}",
        inputs=inputs,
        files={"words.txt": _WORDS},
        arrange=arrange,
        observe=kept,
        bad=bad,
        escapes=[Escape({**inputs, **_ODD}, "RESOURCE_REFERENCE_INVALID"), *_ESCAPES.get(verb, ())],
        without={Cell.TIMEOUT: _AT_ONCE},
    )


_ESCAPES: Final = {
    "publish": (
        Escape({**_PUBLISH, "path": "../outside/canary.txt"}, "PATH_ESCAPES"),
        Escape({**_PUBLISH, "path": ".assent/resources.db"}, "PATH_PROTECTED"),
        Escape(
            {
                "reference": _NAME,
                "handed": {"upload": "anothers", "blob": sha256(b"another's").hexdigest(), "bytes": 9},
            },
            "FILE_NOT_HANDED_OVER",
        ),
    ),
    "promote": (
        Escape({"reference": _NAME, "to": "project/../other"}, "RESOURCE_REFERENCE_INVALID"),
        Escape({"reference": _NAME, "to": "run/run_1"}, "RESOURCE_REQUEST_INVALID"),
    ),
    "retire": (Escape({"reference": "res://global/wordlist/common:1.0.0"}, "RESOURCE_NOT_FOUND"),),
}

CASES = (
    changing(
        "publish",
        _PUBLISH,
        lambda _: None,
        [{**_PUBLISH, "text": "both"}, {"reference": _NAME}, {**_PUBLISH, "reference": ""}],
    ),
    changing("promote", {"reference": _NAME, "to": "global"}, published, [{"reference": _NAME, "to": 7}]),
    changing("retire", {"reference": _NAME}, published, [{"reference": ""}]),
    Case(
        "resource.read",
        inputs={"reference": "res://wordlist/common:latest"},
        arrange=published,
        settings='[resource]\nproject = "shop"\n',
        observe=kept,
        bad=[{"reference": "res://wordlist/common:1", "project": "../shop"}, {"reference": ""}],
        escapes=[
            Escape(_ODD, "RESOURCE_REFERENCE_INVALID"),
            Escape({"reference": "res://wordlist/../../canary.txt:1"}, "RESOURCE_REFERENCE_INVALID"),
            Escape({"reference": "res://project/other/wordlist/common:1.0.0"}, "RESOURCE_NOT_FOUND"),
        ],
        without={Cell.TIMEOUT: _AT_ONCE},
    ),
)

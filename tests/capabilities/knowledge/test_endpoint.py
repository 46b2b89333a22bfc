"""A model behind an endpoint: asked under the rules for requests, with cleaned texts, and never in the way of words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from assent.capabilities.knowledge._endpoint import Endpoint
from assent.capabilities.knowledge._models import MODELS, Models
from assent.cli import main
from assent.errors import AssentError, WorldError
from assent.knowledge.store import MemoryStore
from tests.support.bodies import user
from tests.support.knowledge_places import ADA, called, furnish, opened, refused, write
from tests.support.web import Asked, Reply, Site, serving

_KEY: Final = "AKIA" + "QYLPMN5HHHFPZAM2"
_QUARTZ: Final = f"the quartz lies here\naws_access_key_id = {_KEY}\n"


class Service:
    """An endpoint whose vectors say how often a text has each of three letters; `status` is what it answers with."""

    def __init__(self) -> None:
        self.status = 200
        self.size = 3
        self.texts: list[str] = []

    def __call__(self, asked: Asked) -> Reply:
        texts = json.loads(asked.body)["input"]
        self.texts += texts
        vectors = [[text.count("q") + 1.0, text.count("m"), text.count("z")][: self.size] for text in texts]
        data = [{"index": number, "embedding": vector} for number, vector in enumerate(vectors)]
        return Reply(self.status, body=json.dumps({"data": data}).encode())


@contextmanager
def scene(tmp_path: Path, *, net: bool = True, secret: bool = True) -> Iterator[tuple[Path, Service, Site]]:
    service = Service()
    with serving(service) as site:
        said = f'[knowledge.endpoints.own]\nurl = "{site.url("/v1/embeddings?version=2")}"\nmodel = "tiny"\nsize = 3\n'
        if secret:
            said += 'secret = "secret://model/key"\n[secrets."model/key"]\ncapabilities = ["knowledge.*"]\n'
        if net:
            said += (
                f'[net.rules.own]\nhosts = ["127.0.0.1"]\nmethods = ["POST"]\nschemes = ["http"]\nports = [{site.port}]\n'
                'private = ["127.0.0.1/32"]\n'
            )
        files = {"one.md": _QUARTZ, "two.md": "the marble lies there\n"}
        yield furnish(tmp_path, files, said), service, site


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSENT_SECRET_MODEL_KEY", "the-value-of-it")


async def test_it_has_a_say_in_what_is_found_and_sees_no_secret(tmp_path: Path) -> None:
    with scene(tmp_path) as (work, service, site):
        async with opened(work) as rt:
            step: dict[str, Any] = {
                "name": "a",
                "capability": "knowledge.use_model",
                "inputs": {"endpoint": "own"},
            }
            plan: Any = await rt.plan({"name": "w", "steps": [step]}, principal=ADA)
            assert f"without the secrets that are found in it, to `{site.url()}" in plan.steps[0].preview.diff
            assert service.texts == []
            used = (await called(rt, "use_model", endpoint="own"))["model"]
            assert (used["name"], used["size"], used["converted"]) == ("tiny", 3, "")
            assert [*used["files"]] == [site.url("/v1/embeddings?version=2")]
            done = await called(rt, "index", repository="code")
            assert (done["model"], done["vectors"], done["unmade"]) == (used["digest"], done["chunks"], "")
            found = await called(rt, "search", query=f"quartz {_KEY}")
            assert found["words_alone"] == ""
            assert found["hits"][0]["why"]["cosine"] is not None
            assert (await called(rt, "status"))["model"] == used
        sent = "\n".join(service.texts)
        assert "quartz" in sent
        assert _KEY not in sent
        assert {one.headers["authorization"] for one in site.asked} == {"Bearer the-value-of-it"}
        assert {one.path for one in site.asked} == {"/v1/embeddings?version=2"}
        assert not [
            one
            for one in (work / ".assent").rglob("*")
            if one.is_file() and any(word in one.read_bytes() for word in (b"quartz", b"the-value-of-it"))
        ]


async def test_where_it_fails_words_do(tmp_path: Path) -> None:
    with scene(tmp_path) as (work, service, _):
        async with opened(work) as rt:
            await called(rt, "use_model", endpoint="own")
            service.status = 503
            done = await called(rt, "index", repository="code")
            assert (done["vectors"], done["chunks"]) == (0, 2)
            assert "answered with the status 503 [KNOWLEDGE_ENDPOINT_INVALID]" in done["unmade"]
            found = await called(rt, "search", query="quartz")
            assert ([one["path"] for one in found["hits"]], "503" in found["words_alone"]) == (
                ["src/one.md"],
                True,
            )
            service.status, service.size = 200, 2
            assert "embeddings of 3 components" in (await called(rt, "index", repository="code"))["unmade"]
            service.size = 3
            done = await called(rt, "index", repository="code")
            assert (done["vectors"], done["unmade"]) == (2, "")


async def test_it_is_asked_only_where_requests_may_go(tmp_path: Path) -> None:
    with scene(tmp_path, net=False, secret=False) as (work, service, _):
        async with opened(work) as rt:
            assert await refused(rt, "use_model", endpoint="own") == "EGRESS_DENIED"
            assert await refused(rt, "use_model", endpoint="owm") == "KNOWLEDGE_ENDPOINT_UNKNOWN"
            assert await refused(rt, "use_model", endpoint="own", folder="/x") == "INVALID_INPUT"
            assert (await called(rt, "status"))["model"] is None
        assert service.texts == []


async def test_what_of_hidden_files_has_no_vector_is_told_to_nobody_else(tmp_path: Path) -> None:
    """That the endpoint failed for them alone."""
    with scene(tmp_path, secret=False) as (work, service, _):
        with (work / "assent.toml").open("a") as file:
            file.write('[knowledge.labels.staff]\npaths = ["src/people"]\nroles = ["hr"]\n')
        async with opened(work) as rt:
            await called(rt, "use_model", endpoint="own")
            await called(rt, "index", repository="code")
            write(work, {f"people/{name}.md": f"marble {name}\n" for name in "ab"})
            service.status = 500
            for by, files in ((ADA, 2), (user("hugo", "hr"), 4)):
                done = await called(rt, "index", by, repository="code")
                assert (done["files"], done["vectors"], bool(done["unmade"])) == (files, 2, files == 4)


async def test_another_endpoint_is_another_model(tmp_path: Path) -> None:
    with scene(tmp_path, secret=False) as (work, _, _):
        async with opened(work) as rt:
            await called(rt, "use_model", endpoint="own")
        said = (work / "assent.toml").read_text()
        (work / "assent.toml").write_text(said.replace('"tiny"', '"large"'))
        async with opened(work) as rt:
            assert await refused(rt, "search", query="quartz") == "KNOWLEDGE_MODEL_CHANGED"
            await called(rt, "use_model", endpoint="own")
            assert (await called(rt, "search", query="quartz"))["hits"] == []


def test_it_is_added_from_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with scene(tmp_path) as (work, service, site):
        monkeypatch.chdir(work)
        assert main(["knowledge", "model", "add"]) == 2
        assert "name the folder of a model, or an endpoint" in capsys.readouterr().err
        assert main(["knowledge", "model", "add", "--endpoint", "own"]) == 0
        assert main(["knowledge", "model", "list"]) == 0
        assert site.url("/v1/embeddings") in capsys.readouterr().out
        service.status = 500
        assert main(["knowledge", "index", "-r", "code"]) == 0
        assert (
            "0 with a vector; the embeddings endpoint answered with the status 500" in capsys.readouterr().out
        )
        assert main(["knowledge", "search", "quartz"]) == 0
        assert "found by words alone: the embeddings endpoint answered" in capsys.readouterr().err
        (work / "assent.toml").write_text(
            (work / "assent.toml").read_text().replace("secret://model/key", "hunter2")
        )
        assert main(["knowledge", "status"]) == 2
        assert "must name the secret that is sent: `secret://NAME`" in capsys.readouterr().err


def test_without_a_call_nothing_is_sent(tmp_path: Path) -> None:
    said: dict[str, Any] = {"url": "http://127.0.0.1/", "model": "m", "size": 3, "timeout": 100}
    store = MemoryStore("t")
    models = Models(lambda: store, tmp_path, {"own": said})
    with pytest.raises(WorldError, match="only within a call"):
        models.use(None, "own")
    with store.index(MODELS) as run:
        run.put_piece("model", "model", {"record": msgspec.json.encode(("", models.endpoint("own").record))})
        run.commit()
    heard: list[AssentError] = []
    assert models.meaning("quartz", None, heard.append) is None
    assert "only within a call" in str(heard[0])


def test_one_that_lets_questions_wait_is_left_alone_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten times as long as a question waited; one that fails at once is asked by the next."""
    said: dict[str, Any] = {"url": "http://127.0.0.1/", "model": "m", "size": 3, "timeout": 100}
    store, clock, wait, asked = MemoryStore("t"), 0, 3_000, []

    def silent(_self: Endpoint, _context: object, body: bytes) -> bytes:
        nonlocal clock
        clock += wait
        asked.append(body)
        raise WorldError("KNOWLEDGE_ENDPOINT_INVALID", "nothing came")

    monkeypatch.setattr(Endpoint, "_post", silent)
    models = Models(lambda: store, tmp_path, {"own": said}, lambda: clock)
    with store.index(MODELS) as run:
        run.put_piece("model", "model", {"record": msgspec.json.encode(("", models.endpoint("own").record))})
        run.commit()
    heard: list[AssentError] = []

    def times() -> int:
        assert models.meaning("quartz", None, heard.append) is None
        return len(asked)

    assert (times(), times()) == (1, 1)
    clock += 10 * wait - 1
    assert times() == 1
    clock, wait = clock + 1, 0
    assert (times(), times()) == (2, 3)
    assert {str(one) for one in heard} == {"nothing came [KNOWLEDGE_ENDPOINT_INVALID]"}

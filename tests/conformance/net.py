"""`net.http.*` against a small service on loopback that keeps items and remembers what it was asked under which key."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from assent.errors import Json
from tests.conformance.case import Case, Cell, Escape, Inputs, Stage, tree
from tests.support.web import Asked, Reply, Site, serving

FIRST: Final[Mapping[str, Json]] = {"name": "as it was"}


class Service:
    """Items by their ids, and the answers that were given under each idempotency key."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Json]] = {"first": dict(FIRST)}
        self.answers: dict[str, bytes] = {}
        self._closing = threading.Event()

    def answer(self, asked: Asked) -> Reply:
        """The service itself; `/never` answers only when the test is over."""
        if asked.path.startswith("/never"):
            self._closing.wait()
            return Reply(503)
        if asked.path.startswith("/away"):
            return Reply(302, [("location", "http://169.254.169.254/latest/meta-data/")])
        if asked.path.startswith("/keys/"):
            known = self.answers.get(asked.path.removeprefix("/keys/"))
            return Reply(404) if known is None else _json(known)
        if asked.method in ("GET", "HEAD"):
            return _json(json.dumps(self.items).encode())
        return self._change(asked)

    def _change(self, asked: Asked) -> Reply:
        key = asked.headers["idempotency-key"]
        if key not in self.answers:
            body: dict[str, Json] = json.loads(asked.body) if asked.body else {}
            name = asked.path.removeprefix("/items").strip("/") or f"item{len(self.items)}"
            old: dict[str, Json] | None = self.items.get(name)
            if asked.method == "DELETE":
                self.items.pop(name, None)
            else:
                self.items[name] = {**(old or {}), **body} if asked.method == "PATCH" else body
            self.answers[key] = json.dumps({"id": name, "old": old}).encode()
        return _json(self.answers[key])

    def close(self) -> None:
        """Let whoever waits for an answer have one."""
        self._closing.set()


def _json(body: bytes) -> Reply:
    return Reply(200, [("content-type", "application/json")], body)


@contextmanager
def _running(service: Service) -> Iterator[Site]:
    with serving(service.answer) as site:
        try:
            yield site
        finally:
            service.close()


def arrange(stage: Stage) -> None:
    """Start the service."""
    service = Service()
    site = stage.open(_running(service))
    stage.things |= {"service": service, "site": site}
    stage.shown[site.url("/")] = "https://api.example.org/"


def observe(stage: Stage) -> object:
    """The items of the service, and the workspace."""
    service: Service = stage.things["service"]
    return dict(service.items), tree(stage)


def settings(stage: Stage) -> str:
    """The one rule that opens loopback, at the service's port."""
    site: Site = stage.things["site"]
    return (
        f'[net.rules.service]\nhosts = ["127.0.0.1"]\nschemes = ["http"]\nports = [{site.port}]\n'
        'methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]\nprivate = ["127.0.0.1/32"]\n'
    )


def at(path: str, /, **more: Json) -> Callable[[Stage], Mapping[str, Json]]:
    """Inputs with the service's address in the place of `URL`, and `path` of it (or an address of its own) as their `url`."""

    def inputs(stage: Stage) -> Mapping[str, Json]:
        site: Site = stage.things["site"]
        written: dict[str, Json] = json.loads(
            json.dumps({"url": f"URL{path}" if path.startswith("/") else path, **more}).replace(
                "URL/", site.url("/")
            )
        )
        return written

    return inputs


STATUS: Final[Json] = {
    "url": "URL/keys/{idempotency_key}",
    "happened_when": "status == `200`",
    "not_happened_when": "status == `404`",
}


def _out(**more: Json) -> list[Escape]:
    """Ways to where no request may go."""
    places = (
        ("http://169.254.169.254/latest/meta-data/", "EGRESS_DENIED"),
        ("http://127.0.0.1:1/", "EGRESS_DENIED"),
        ("http://[::ffff:127.0.0.1]/", "EGRESS_DENIED"),
        ("http://2130706433/", "URL_INVALID"),
        ("http://localhost/", "EGRESS_DENIED"),
        ("https://example.org/", "EGRESS_DENIED"),
    )
    return [Escape(at(url, **more), code) for url, code in places]


def _asks(capability: str) -> Case:
    return Case(
        capability,
        inputs=at("/items", query={"page": "1"}),
        arrange=arrange,
        observe=observe,
        settings=settings,
        bad=[{"url": "ftp://example.org/"}, at("/", headers={"a": 1})],
        escapes=[*_out(), Escape(at("/away"), "EGRESS_DENIED")],
        lasting=at("/never"),
    )


_ASKED: Final = "with a `status` request, as tried here; without one a killed request ends `in_doubt`"


def _sends(method: str, path: str, offset: Mapping[str, Json] | None, **more: Json) -> Case:
    capability = f"net.http.{method}" if offset is None else f"net.http.{method}_compensated"
    compensation: dict[str, Json] = {} if offset is None else {"compensation": dict(offset)}
    body: Json = None if method == "delete" else {"name": "new"}
    # What is put or deleted twice is as if it had been once; but the second answer does not tell any more what was there before.
    is_repeated = method in {"put", "delete"} and offset is None
    untold: dict[str, Json] = {"body": body, **compensation, **more}
    fields: dict[str, Json] = {**untold, "status": STATUS}
    yaml: dict[str, Json] = {**fields, "body_type": "yaml"}
    half: dict[str, Json] = {**fields, "status": {"url": "x"}}
    bad: list[Inputs] = [at(path, **yaml), at(path, **half)]
    return Case(
        capability,
        inputs=at(path, **fields),
        arrange=arrange,
        observe=observe,
        settings=settings,
        bad=bad,
        escapes=[
            *_out(**compensation),
            Escape(at(path, body="../outside/canary.txt", body_type="file", **compensation), "PATH_ESCAPES"),
            Escape(at(path, body=".assent/ledger.db", body_type="file", **compensation), "PATH_PROTECTED"),
            *_offsets_out(path, offset),
        ],
        lasting=at("/never", **fields),
        provided={} if is_repeated else {Cell.RECONCILE: _ASKED},
        variants=[]
        if is_repeated
        else [
            Case(
                capability,
                inputs=at(path, **untold),
                arrange=arrange,
                observe=observe,
                settings=settings,
                in_doubt="no status request is declared",
                name="without status",
            )
        ],
    )


def _offsets_out(path: str, offset: Mapping[str, Json] | None) -> list[Escape]:
    if offset is None:
        return []
    elsewhere: dict[str, Json] = {**offset, "url": "http://10.0.0.1/{id}"}
    unknown: dict[str, Json] = {**offset, "url": "http://{id}/"}
    return [
        Escape(at(path, compensation=elsewhere), "EGRESS_DENIED"),
        Escape(at(path, compensation=unknown), "HTTP_REQUEST_INVALID"),
    ]


_BACK: Final[Mapping[str, Json]] = {
    "method": "PUT",
    "url": "URL/items/{id}",
    "body": "{old}",
    "from_answer": {"id": "body.id", "old": "body.old"},
}
_GONE: Final[Mapping[str, Json]] = {
    "method": "DELETE",
    "url": "URL/items/{id}",
    "from_answer": {"id": "body.id"},
}


def _downloads() -> Case:
    return Case(
        "net.http.download",
        inputs=at("/items", path="got/items.json", create_dirs=True),
        files={"there.json": "before\n"},
        arrange=arrange,
        observe=observe,
        settings=settings,
        bad=[at("/items", path="a.json", sha256="00")],
        escapes=[
            *_out(path="a.json"),
            Escape(at("/away", path="a.json"), "EGRESS_DENIED"),
            Escape(at("/items", path="../outside/a.json"), "PATH_ESCAPES"),
            Escape(at("/items", path="../outside/canary.txt", overwrite=True), "PATH_ESCAPES"),
            Escape(at("/items", path=".assent/a.json"), "PATH_PROTECTED"),
            Escape(at("/items", path="policy.yaml", overwrite=True), "PATH_PROTECTED"),
        ],
        lasting=at("/never", path="got/a.json", create_dirs=True),
    )


CASES: Final = (
    _asks("net.http.get"),
    _asks("net.http.head"),
    _downloads(),
    _sends("post", "/items", None),
    _sends("put", "/items/first", None),
    _sends("patch", "/items/first", None),
    _sends("delete", "/items/first", None),
    _sends("post", "/items", _GONE),
    _sends("put", "/items/first", _BACK),
    _sends("patch", "/items/first", _BACK),
    _sends("delete", "/items/first", _BACK),
)

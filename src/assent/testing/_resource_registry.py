"""The contract of a provider of resources: what every one promises, as a suite to run on one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from hashlib import sha256
from itertools import pairwise
from typing import Final, Protocol

from assent.errors import AssentError
from assent.findings.assets import (
    GLOBAL,
    AssetType,
    AssetVersion,
    Context,
    ResourceProvider,
    read_reference,
    read_scope,
)

WHEN: Final = "2026-11-23T09:30:00Z"
LATER: Final = "2026-11-24T09:30:00.125Z"
WORDS: Final = "res://project/shop/wordlist/words"
SCOPES: Final = ("run/run_1", "node/n1", "project/shop", "group/shops", "global")
EVERYWHERE: Final = Context(run="run_1", node="n1", project="shop", group="shops")


class OpensProvider(Protocol):
    """Opens the provider that is tried: empty at first, and each time the same one."""

    def __call__(self) -> ResourceProvider:
        """The provider."""


class ResourceRegistryContract:
    """A pytest suite: subclass it and give a fixture `opens`; a provider that lasts opens the same again with it."""

    def test_what_was_published_is_there(self, opens: OpensProvider) -> None:
        """By its word, by `latest` and by its digest; its content as it was, in however many pieces."""
        content = bytes(range(256)) * 9_000  # more than two pieces
        made = opens().publish(f"{WORDS}:1.0.0", content, at=WHEN)
        assert made == AssetVersion(
            scope=read_scope("project/shop"),
            type=AssetType.WORDLIST,
            name="words",
            version="1.0.0",
            sha256=sha256(content).hexdigest(),
            size_bytes=len(content),
            published_at=WHEN,
        )
        again = opens()
        for which in (":1.0.0", ":latest", f"@sha256:{made.sha256}"):
            assert again.resolve(f"{WORDS}{which}") == made
        assert _content(again, f"{WORDS}:1.0.0") == content
        assert list(again.versions()) == [again.resolve(made.reference)]
        again.publish("res://global/schema/empty:1", iter(()), at=WHEN)
        assert _content(again, "res://schema/empty:1") == b""

    def test_a_version_never_changes(self, opens: OpensProvider) -> None:
        """The same again does nothing, also in other pieces; other content by the same word is refused."""
        provider = opens()
        made = provider.publish(f"{WORDS}:1", b"one two", at=WHEN)
        assert provider.publish(read_reference(f"{WORDS}:1"), iter([b"one", b" two"]), at=LATER) == made
        assert _code_of(lambda: provider.publish(f"{WORDS}:1", b"other", at=LATER)) == "RESOURCE_EXISTS"
        assert _content(provider, f"{WORDS}:1") == b"one two"
        provider.publish("res://project/other/wordlist/words:1", b"other", at=WHEN)
        provider.publish("res://project/shop/headers/words:1", b"other", at=WHEN)
        assert provider.resolve(f"{WORDS}:1").sha256 == made.sha256

    def test_what_fails_leaves_nothing(self, opens: OpensProvider) -> None:
        """A content that breaks off is not there, and neither is its version."""

        def broken() -> Iterator[bytes]:
            yield b"a" * (3 << 20)
            raise OSError("the source broke off")

        provider = opens()
        with suppress(OSError):
            provider.publish(f"{WORDS}:1", broken(), at=WHEN)
        assert list(opens().versions()) == []
        assert provider.publish(f"{WORDS}:1", b"whole", at=WHEN).size_bytes == 5

    def test_what_can_not_be_is_refused(self, opens: OpensProvider) -> None:
        """Before anything is written."""
        provider = opens()
        there = f"{WORDS}:1"
        provider.publish(there, b"", at=WHEN)
        refused: list[tuple[str, Callable[[], object]]] = [
            ("RESOURCE_REFERENCE_INVALID", lambda: provider.publish("res://nothing", b"", at=WHEN)),
            ("RESOURCE_REFERENCE_INVALID", lambda: provider.resolve("words:1")),
            ("RESOURCE_REFERENCE_INVALID", lambda: provider.resolve(there, Context(project="a/b"))),
            ("RESOURCE_REFERENCE_INVALID", lambda: provider.promote(there, "nowhere", at=WHEN)),
            ("RESOURCE_REFERENCE_INVALID", lambda: list(provider.versions("nowhere"))),
            ("RESOURCE_REQUEST_INVALID", lambda: provider.publish("res://wordlist/words:1", b"", at=WHEN)),
            ("RESOURCE_REQUEST_INVALID", lambda: provider.publish(f"{WORDS}:latest", b"", at=WHEN)),
            (
                "RESOURCE_REQUEST_INVALID",
                lambda: provider.publish(f"{WORDS}@sha256:{'a' * 64}", b"", at=WHEN),
            ),
            ("RESOURCE_REQUEST_INVALID", lambda: provider.retire(f"{WORDS}:latest", at=WHEN)),
            ("RESOURCE_REQUEST_INVALID", lambda: provider.retire("res://wordlist/words:1", at=WHEN)),
            ("RESOURCE_REQUEST_INVALID", lambda: provider.withdraw(f"{WORDS}:latest", published_at=WHEN)),
            (
                "RESOURCE_REQUEST_INVALID",
                lambda: provider.reinstate("res://wordlist/words:1", retired_at=WHEN),
            ),
            ("RESOURCE_NOT_FOUND", lambda: provider.retire(f"{WORDS}:2", at=WHEN)),
            ("RESOURCE_NOT_FOUND", lambda: provider.resolve(f"{WORDS}:2")),
            ("RESOURCE_NOT_FOUND", lambda: provider.resolve("res://wordlist/words:1")),
            (
                "RESOURCE_NOT_FOUND",
                lambda: provider.resolve("res://wordlist/words:1", Context(project="other")),
            ),
        ]
        for at in ("", "now", f"{WHEN}\n", "2026-02-29T09:30:00Z"):
            refused += [
                ("RESOURCE_REQUEST_INVALID", partial(provider.publish, f"{WORDS}:9", b"", at=at)),
                ("RESOURCE_REQUEST_INVALID", partial(provider.promote, there, GLOBAL, at=at)),
                ("RESOURCE_REQUEST_INVALID", partial(provider.retire, there, at=at)),
                ("RESOURCE_REQUEST_INVALID", partial(provider.use, there, at=at)),
            ]
        for number, (code, call) in enumerate(refused):
            assert _code_of(call) == code, number
        assert [str(one.reference) for one in opens().versions()] == [there]
        assert (provider.resolve(there).uses, provider.resolve(there).retired_at) == (0, None)

    def test_what_is_nearer_comes_first(self, opens: OpensProvider) -> None:
        """Run, node, project, group, global: those that are in force, in this order, whatever came first."""
        provider = opens()
        for scope in SCOPES:
            provider.publish(f"res://{scope}/wordlist/words:1", scope.encode(), at=WHEN)
        provider.publish("res://global/wordlist/words:2", b"", at=LATER)
        contexts = (
            (EVERYWHERE, "run/run_1"),
            (Context(node="n1", project="shop", group="shops"), "node/n1"),
            (Context(run="run_2", project="shop", group="shops"), "project/shop"),
            (Context(group="shops"), "group/shops"),
            (Context(), "global"),
        )
        for context, scope in contexts:
            assert str(provider.resolve("res://wordlist/words:1", context).scope) == scope
        assert str(provider.resolve("res://wordlist/words:2", EVERYWHERE).scope) == "global"
        assert provider.resolve("res://wordlist/words:latest", EVERYWHERE).version == "1"
        for scope in SCOPES:
            found = provider.resolve(f"res://{scope}/wordlist/words:1", Context(run="run_2"))
            assert str(found.scope) == scope

    def test_latest_is_what_was_published_last(self, opens: OpensProvider) -> None:
        """Whatever its word is."""
        provider = opens()
        for word in ("2.0.0", "10.0.0", "1.9.9", "draft"):
            provider.publish(f"{WORDS}:{word}", word.encode(), at=WHEN)
            assert provider.resolve(f"{WORDS}:latest").version == word

    def test_a_retired_version_is_out_of_use(self, opens: OpensProvider) -> None:
        """`latest` passes over it, its word is refused, and its digest alone leads there, for good."""
        provider = opens()
        first = provider.publish(f"{WORDS}:1", b"1", at=WHEN)
        provider.publish(f"{WORDS}:2", b"2", at=WHEN)
        gone = provider.retire(f"{WORDS}:2", at=LATER)
        assert (gone.version, gone.retired_at) == ("2", LATER)
        assert provider.retire(f"{WORDS}:2", at=WHEN) == gone
        again = opens()
        assert again.resolve(f"{WORDS}:latest") == first
        assert _code_of(lambda: again.resolve(f"{WORDS}:2")) == "RESOURCE_RETIRED"
        assert again.resolve(f"{WORDS}@sha256:{gone.sha256}") == gone
        assert again.publish(f"{WORDS}:2", b"2", at=WHEN) == gone
        again.retire(f"{WORDS}:1", at=LATER)
        assert _code_of(lambda: again.resolve(f"{WORDS}:latest")) == "RESOURCE_RETIRED"

    def test_a_retired_version_hides_its_word_and_latest_looks_on(self, opens: OpensProvider) -> None:
        """Nobody gets other content by a word than the scope that is nearest had for it."""
        provider = opens()
        provider.publish(f"{WORDS}:1", b"near", at=WHEN)
        provider.publish("res://global/wordlist/words:1", b"wide", at=WHEN)
        provider.retire(f"{WORDS}:1", at=LATER)
        assert _code_of(lambda: provider.resolve("res://wordlist/words:1", EVERYWHERE)) == "RESOURCE_RETIRED"
        assert provider.resolve("res://wordlist/words:latest", EVERYWHERE).scope == GLOBAL

    def test_a_version_is_promoted_to_wider_scopes(self, opens: OpensProvider) -> None:
        """As a copy that says where it is from, which lives on by itself."""
        provider = opens()
        made = provider.publish("res://run/run_1/wordlist/words:1", b"found", at=WHEN)
        provider.use(made.reference, at=WHEN)
        for near, wide in pairwise(SCOPES):
            source = f"res://{near}/wordlist/words:1"
            copy = provider.promote(source, wide, at=LATER)
            assert (str(copy.scope), copy.promoted_from, copy.sha256, copy.uses) == (
                wide,
                source,
                made.sha256,
                0,
            )
            assert provider.promote(source, wide, at=WHEN) == copy
            for scope in (near, wide):
                assert (
                    _code_of(lambda wide=wide, scope=scope: _promote(provider, wide, scope))
                    == "RESOURCE_REQUEST_INVALID"
                )
        assert _content(opens(), "res://wordlist/words:1") == b"found"
        provider.retire(made.reference, at=LATER)
        assert provider.resolve("res://wordlist/words:1").retired_at is None
        by_digest = f"res://run/run_1/wordlist/words@sha256:{made.sha256}"
        for gone in (made.reference, by_digest):
            assert _code_of(lambda gone=gone: provider.promote(gone, GLOBAL, at=WHEN)) == "RESOURCE_RETIRED"
        provider.publish("res://run/run_2/wordlist/words:1", b"other", at=WHEN)
        assert (
            _code_of(lambda: provider.promote("res://run/run_2/wordlist/words:1", GLOBAL, at=WHEN))
            == "RESOURCE_EXISTS"
        )

    def test_uses_are_counted(self, opens: OpensProvider) -> None:
        """Of the version that was meant, when somebody uses it, and not when somebody looks."""
        provider = opens()
        provider.publish(f"{WORDS}:1", b"1", at=WHEN)
        provider.publish(f"{WORDS}:2", b"2", at=WHEN)
        provider.resolve(f"{WORDS}:1")
        provider.use("res://wordlist/words:1", EVERYWHERE, at=WHEN)
        used, content = provider.use(f"{WORDS}:1", at=LATER)
        assert (used.uses, used.used_at, b"".join(content)) == (2, LATER, b"1")
        assert [(one.uses, one.used_at) for one in opens().versions()] == [(2, LATER), (0, None)]

    def test_what_was_published_can_be_taken_back_unless_somebody_needs_it(
        self, opens: OpensProvider
    ) -> None:
        """By the moment at which it was published, so that nobody takes back what others published."""
        provider = opens()
        made = provider.publish(f"{WORDS}:1", b"1", at=WHEN)
        same = provider.publish("res://global/wordlist/words:1", b"1", at=WHEN)
        provider.withdraw(f"{WORDS}:1", published_at=LATER)
        provider.withdraw(f"{WORDS}:2", published_at=WHEN)
        assert list(provider.versions()) == [made, same]
        provider.withdraw(f"{WORDS}:1", published_at=WHEN)
        provider.withdraw(f"{WORDS}:1", published_at=WHEN)
        again = opens()
        assert list(again.versions()) == [same]
        assert b"".join(again.content(same)) == b"1"
        again.publish(f"{WORDS}:1", b"other", at=LATER)
        again.use(f"{WORDS}:1", at=LATER)
        again.publish(f"{WORDS}:2", b"2", at=LATER)
        again.promote(f"{WORDS}:2", "group/shops", at=LATER)
        again.publish(f"{WORDS}:3", b"3", at=LATER)
        again.retire(f"{WORDS}:3", at=LATER)
        for word in "123":
            withdraw = partial(again.withdraw, f"{WORDS}:{word}", published_at=LATER)
            assert _code_of(withdraw) == "RESOURCE_IN_USE", word
        again.withdraw("res://group/shops/wordlist/words:2", published_at=LATER)
        again.withdraw(f"{WORDS}:2", published_at=LATER)
        assert [one.version for one in opens().versions("project/shop")] == ["1", "3"]

    def test_retiring_can_be_taken_back(self, opens: OpensProvider) -> None:
        """By the moment at which it was retired."""
        provider = opens()
        made = provider.publish(f"{WORDS}:1", b"1", at=WHEN)
        provider.retire(f"{WORDS}:1", at=LATER)
        provider.reinstate(f"{WORDS}:1", retired_at=WHEN)
        provider.reinstate(f"{WORDS}:2", retired_at=LATER)
        assert _code_of(lambda: provider.resolve(f"{WORDS}:1")) == "RESOURCE_RETIRED"
        provider.reinstate(f"{WORDS}:1", retired_at=LATER)
        assert opens().resolve(f"{WORDS}:1") == made

    def test_who_looks_at_content_is_not_counted(self, opens: OpensProvider) -> None:
        """Only who uses it is."""
        provider = opens()
        made = provider.publish(f"{WORDS}:1", b"1", at=WHEN)
        assert b"".join(provider.content(made)) == b"1"
        assert provider.resolve(f"{WORDS}:1").uses == 0

    def test_versions_are_listed_by_what_they_are(self, opens: OpensProvider) -> None:
        """In the order in which they were published; what is unknown is empty."""
        provider = opens()
        for reference in ("project/a/wordlist/x:1", "global/headers/x:1", "project/a/headers/y:1"):
            provider.publish(f"res://{reference}", b"", at=WHEN)

        def listed(
            scope: str | None = None, kind: AssetType | None = None, name: str | None = None
        ) -> list[str]:
            return [str(one.reference).removeprefix("res://") for one in provider.versions(scope, kind, name)]

        assert listed() == ["project/a/wordlist/x:1", "global/headers/x:1", "project/a/headers/y:1"]
        assert listed("project/a") == ["project/a/wordlist/x:1", "project/a/headers/y:1"]
        assert listed(kind=AssetType.HEADERS) == ["global/headers/x:1", "project/a/headers/y:1"]
        assert listed("project/a", AssetType.HEADERS, "y") == ["project/a/headers/y:1"]
        assert listed(name="z") == listed("project/b") == []


def _promote(provider: ResourceProvider, near: str, wide: str) -> AssetVersion:
    return provider.promote(f"res://{near}/wordlist/words:1", wide, at=WHEN)


def _content(provider: ResourceProvider, reference: str) -> bytes:
    return b"".join(provider.use(reference, at=WHEN).content)


def _code_of(call: Callable[..., object]) -> str | None:
    """The code of what a call fails with; None where it does not."""
    try:
        call()
    except AssentError as error:
        return error.code
    return None

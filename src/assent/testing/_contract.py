"""The suite: every clause on every case, for pytest and for programs."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from assent.errors import AssentError
from assent.invocation import BoundCapability, Capability, GlobalContext, Handler
from assent.spec.capability import CapabilitySpec
from assent.testing._bench import Bench
from assent.testing._case import Case
from assent.testing._clauses import CLAUSES, BrokenError, Clause
from assent.testing._requests import UNAVAILABLE, Needs, Requests

Source: TypeAlias = (
    "Capability[..., Any] | tuple[CapabilitySpec, Handler] | BoundCapability"  # `Any`: any result
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one clause on one case; `fault` is None when it holds, and `hint` what its author can do about it, if known.

    `needs`: a request was held back, so that the promise was not tried, whatever came of it; and what would have it sent: the
    word (`send`), or before that an example of the call that its author wrote (`example`).
    """

    clause: str
    promise: str
    case: str
    fault: str | None = None
    needs: Needs | None = None
    hint: str | None = None

    @property
    def holds(self) -> bool:
        """The promise was kept."""
        return self.fault is None and self.needs is None


def bound_of(source: Source) -> BoundCapability:
    """The capability, ready to be called; raises what registering it would raise."""
    if isinstance(source, BoundCapability):
        return source
    if isinstance(source, Capability):
        return BoundCapability(source.spec, source.handler)
    return BoundCapability(*source)


def clauses_of(source: Source) -> tuple[Clause, ...]:
    """The clauses that say something about a capability: those whose part it has."""
    parts = bound_of(source).parts
    return tuple(clause for clause in CLAUSES if clause.needs in parts)


def run_clause(
    source: Source,
    clause: Clause,
    case: Case,
    folder: Path,
    *,
    app: GlobalContext | None = None,
    requests: Requests | None = None,
) -> None:
    """Try one clause on one case, in a new folder. Raises `AssertionError` with the reason when it is broken.

    What a part raises comes through, so that a test shows where. Without `requests` its calls send none.
    """
    bound = bound_of(source)

    async def tried() -> None:
        async with (requests or Requests()).around(app) as around:
            with Bench.open(bound, case, folder, around) as bench:
                try:
                    async with asyncio.timeout(case.limit_s):
                        await clause.check(bench)
                except TimeoutError:
                    raise BrokenError(f"it did not end within {case.limit_s:g} s") from None

    asyncio.run(tried())


def check_capability(
    source: Source,
    cases: Sequence[Case] = (),
    *,
    app: GlobalContext | None = None,
    requests: Requests | None = None,
) -> list[Outcome]:
    """Every clause on every case; without cases on some made from the schema of the inputs. Blocks; starts a loop of its own.

    `requests`: what becomes of requests that its calls send; inputs that were made up are sent to nobody.
    """
    bound = bound_of(source)
    requests = requests or Requests()
    if not cases:
        cases, requests = Case.made_for(bound), requests.held_for_examples()
    found: list[Outcome] = []
    for number, case in enumerate(cases):
        for clause in clauses_of(bound):
            name = case.name or f"case {number}"
            with tempfile.TemporaryDirectory(prefix="assent-contract-") as folder:
                fault, hint = _fault(
                    partial(run_clause, bound, clause, case, Path(folder), app=app, requests=requests)
                )
            # A case that says that nothing can be sent was tried as it stands.
            was_held = requests.was_held and case.fails != UNAVAILABLE
            found.append(
                Outcome(clause.name, clause.promise, name, fault, requests.needs if was_held else None, hint)
            )
    return found


def _fault(run: Callable[[], None]) -> tuple[str | None, str | None]:
    """What is broken and what to do about it; neither when the clause holds."""
    try:
        run()
    except (BrokenError, AssentError) as error:
        return str(error), error.hint
    except Exception as error:  # noqa: BLE001  # a stranger's code: whatever it raises breaks the clause
        return f"{type(error).__name__}: {error}", None
    return None, None


class CapabilityContract:
    """A pytest suite: subclass it, say `capability` and `cases`, and every clause is a test for every case.

    `app` is the application that calls are a part of, for capabilities that ask it for modules.
    """

    capability: ClassVar[Any]  # `Any`: a `Source`; a class attribute that is a descriptor would hide its type
    cases: ClassVar[Sequence[Case]] = (Case(),)
    app: ClassVar[GlobalContext | None] = None

    def pytest_generate_tests(
        self, metafunc: Any
    ) -> None:  # `Any`: pytest's own; it is not needed to run Assent
        """One test for each clause and case; pytest calls this."""
        if "clause" in metafunc.fixturenames:
            tried = [(clause, case) for clause in clauses_of(self.capability) for case in self.cases]
            ids = [f"{clause.name}-{case.name or self.cases.index(case)}" for clause, case in tried]
            metafunc.parametrize(("clause", "case"), tried, ids=ids)

    def test_capability(self, clause: Clause, case: Case, tmp_path: Path) -> None:
        """The clause's promise holds for the case."""
        run_clause(self.capability, clause, case, tmp_path, app=self.app)

"""Whatever calls do and becomes of their runs: within no window more acts than the limit lets pass, and no room stays kept."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from assent.invocation import Place, Quotas
from assent.policy import PolicyContext, amount_of, is_past
from assent.spec.capability import OperationType, RiskLevel
from assent.spec.events.kinds import Counted
from assent.spec.policy import Limit, Measure, Per
from assent.spec.principal import Principal

WINDOW_MS = 100
LIMIT = Limit("few", Measure.COST, 6, WINDOW_MS, Per.ALL, prices=(("own", 1), ("back", 2)))


class _Clock:
    def __init__(self) -> None:
        self.ms = 1000

    def now_ms(self) -> int:
        return self.ms

    monotonic_ms = now_ms


def question(capability: str) -> PolicyContext:
    return PolicyContext(
        principal=Principal.parse("agent:a"),
        capability=capability,
        risk_level=RiskLevel.LOW,
        operation_type=OperationType.WRITE,
        run_id="run",
    )


class _Model:
    """Steps under the limit: what each took itself and keeps for its way back, and when everything acted."""

    def __init__(self) -> None:
        self.clock = _Clock()
        self.quotas = Quotas(self.clock)
        self.kept: dict[str, int] = {}
        self.acted: list[tuple[int, int]] = []
        self.attempts: Counter[str] = Counter()

    def admit(self, step: str, leads: int) -> None:
        """A step with so many ways back is asked about, and begins where all of it fits."""
        self.attempts[step] += 1
        place = Place("run", step, self.attempts[step])
        asked = self.quotas.counted([LIMIT], question("own"), place=place)
        if self.is_past(asked):
            return
        hold = self.quotas.hold([LIMIT], asked, place)
        counted: list[Counted] = []
        for _ in range(leads):
            lead = self.quotas.counted([LIMIT], question("back"), own=hold.uses, place=place)
            if self.is_past(lead):
                hold.release()
                return
            counted += hold.keep([LIMIT], lead)
        self.acted.append((self.clock.ms, amount_of(LIMIT, asked)))
        self.quotas.keep([LIMIT], counted, "agent:a", place)
        self.kept[step] = sum(one.amount for one in counted)

    def is_past(self, asked: PolicyContext) -> bool:
        """Whether it does not fit; a time that it names is one at which it would."""
        count = asked.counts[LIMIT.id]
        is_refused = is_past(LIMIT, count.used, amount_of(LIMIT, asked))
        assert count.opens_at_ms is None or is_refused
        return is_refused

    def take_back(self, step: str) -> None:
        """Nothing is asked: its room is kept."""
        if amount := self.kept.pop(step, 0):
            self.end(step)
            self.quotas.hold([LIMIT] * (amount // 2), question("back"))
            self.acted.append((self.clock.ms, amount))

    def end(self, step: str) -> None:
        """It can not be taken back any more."""
        self.kept.pop(step, None)
        self.quotas.keep([LIMIT], (), "agent:a", Place("run", step, self.attempts[step]))


STEPS = st.sampled_from("abcd")
MOVES = st.one_of(
    st.tuples(st.just("admit"), STEPS, st.integers(0, 2)),
    st.tuples(st.sampled_from(["take_back", "end"]), STEPS),
    st.tuples(st.just("wait"), st.integers(1, WINDOW_MS)),
)


@given(st.lists(MOVES, max_size=40))
def test_within_no_window_more_acts_than_the_limit(moves: list[tuple[Any, ...]]) -> None:
    model = _Model()
    for name, *given_ in moves:
        if name == "wait":
            model.clock.ms += given_[0]
        else:
            getattr(model, name)(*given_)
        now = model.clock.ms
        within = sum(amount for at_ms, amount in model.acted if now - at_ms < WINDOW_MS)
        count = model.quotas.counted([LIMIT], question("own")).counts[LIMIT.id]
        assert (count.used, count.kept) == (within + sum(model.kept.values()), sum(model.kept.values()))
        assert count.used <= LIMIT.most
    for step in "abcd":
        model.end(step)
    assert not model.quotas._kept
    assert not model.quotas._places

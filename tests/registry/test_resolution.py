"""What a reference means: the same as a plain search over all versions, and a refusal that says what is nearest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from assent.errors import InputError
from assent.registry import CapabilityRegistry, LabelChange, RecordedVersion, Resolution
from assent.registry._view import RESOLUTIONS_MAX
from assent.spec import CapabilitySpec, create_read_capability
from assent.spec.words.reference import How
from assent.spec.words.semver import VersionRange, precedence
from tests.support.properties import holds

ID = "net.mail"
DAY_MS = 86_400_000
START_MS = 1_790_812_800_000
"""2026-10-01T00:00Z."""


def spec(version: str, ident: str = ID) -> CapabilitySpec:
    return create_read_capability(ident, version=version)


def record(registry: CapabilityRegistry, version: str, change: int, at_ms: int, ident: str = ID) -> None:
    """What a journal would say of a registered version."""
    fingerprint = spec(version, ident).fingerprint
    registry.remember_version(RecordedVersion(ident, version, fingerprint, change, at_ms))


def registry_of(*versions: str) -> CapabilityRegistry:
    """Versions that were registered a day after each other, in this order."""
    registry = CapabilityRegistry()
    for number, version in enumerate(versions):
        registry.register_capability(spec(version))
        record(registry, version, number, START_MS + number * DAY_MS)
    return registry


def refusal(registry: CapabilityRegistry, reference: str) -> InputError:
    with pytest.raises(InputError) as caught:
        registry.resolve(reference)
    return caught.value


def code_of(act: Callable[[], object]) -> str | None:
    """The code that an act is refused with; None when it is not."""
    try:
        act()
    except InputError as error:
        return error.code
    return None


def numbers(text: str) -> tuple[int, ...]:
    """The numbers at the start of a version or a part of one."""
    return tuple(int(part) for part in re.findall(r"^\d+|(?<=\.)\d+", text.partition("-")[0]))


def below(version: str, other: str) -> bool:
    return precedence(version) < precedence(other)


def plain_range(text: str, version: str) -> bool:
    """Whether a range allows a version, comparator by comparator, as the documentation says it."""
    named = [part.lstrip("^~<>=") for part in text.split() if "-" in part]
    is_pre = "-" in version
    if is_pre and not any(numbers(part) == numbers(version) for part in named):
        return False
    return all(plain_comparator(part, version) for part in text.split())


def plain_comparator(text: str, version: str) -> bool:
    operator = re.match(r"[\^~<>=]*", text)
    assert operator is not None
    sign, rest = operator[0], text[operator.end() :]
    given_numbers = numbers(rest.replace("x", "").replace("*", ""))
    own = numbers(version)
    floor = (
        ".".join(str(part) for part in (*given_numbers, 0, 0, 0)[:3]) + rest[len(rest.partition("-")[0]) :]
    )
    begins = own[: len(given_numbers)] == given_numbers
    is_whole = len(given_numbers) == 3
    if sign == ">=":
        return not below(version, floor)
    if sign == "<":
        return below(version, floor)
    if sign == ">":
        return below(floor, version) and (is_whole or not begins)
    if sign == "<=":
        return not below(floor, version) or (begins and not is_whole)
    if sign == "~":
        kept = min(2, len(given_numbers))
    elif sign == "^":
        nonzero = [index for index, number in enumerate(given_numbers) if number]
        kept = nonzero[0] + 1 if nonzero else len(given_numbers)
    else:
        kept = len(given_numbers)
    return own[:kept] == given_numbers[:kept] and not below(version, floor)


def highest(versions: Iterable[str]) -> str | None:
    return max(versions, key=precedence, default=None)


parts = st.integers(0, 3)
pres = st.sampled_from(["", "", "", "-alpha", "-rc.1", "-rc.2", "-rc.11"])
versions_ = st.builds("{}.{}.{}{}".format, parts, parts, parts, pres)
partial = st.one_of(versions_, st.builds("{}.{}".format, parts, parts), st.builds("{}".format, parts))
comparators = st.one_of(
    st.builds("{}{}".format, st.sampled_from(["^", "~", ">=", "<=", ">", "<"]), partial),
    st.builds("{}.{}".format, parts, st.sampled_from(["x", "*"])),
    st.builds("{}.{}.x".format, parts, parts),
    st.builds("{}.{}".format, parts, parts),
    st.just("*"),
)
ranges = st.lists(comparators, min_size=1, max_size=3).map(" ".join)


@given(ranges, versions_)
def test_a_range_allows_what_its_comparators_say(text: str, version: str) -> None:
    found = VersionRange.parse(text)
    assert found is not None
    assert found.allows(precedence(version)) == plain_range(text, version)


@holds("version_resolution")
@given(st.lists(versions_, unique=True, min_size=1, max_size=25), ranges)
def test_a_range_means_the_highest_version_that_it_allows(versions: list[str], text: str) -> None:
    registry = registry_of(*versions)
    expected = highest(version for version in versions if plain_range(text, version))
    if expected is None:
        assert refusal(registry, f"{ID}@{text}").code == "VERSION_NOT_FOUND"
    else:
        assert registry.resolve(f"{ID}@{text}").version == expected


@holds("several_versions")
@given(st.lists(versions_, unique=True, min_size=1, max_size=25), st.randoms(use_true_random=False))
def test_versions_stand_side_by_side_in_their_order(versions: list[str], random: object) -> None:
    """Registered in any order, each is found by its number, and the list is the order of precedence."""
    registry = registry_of(*versions)
    for version in versions:
        assert registry.resolve(f"{ID}@{version}").version == version
    ordered = [entry.version for entry in registry.snapshot().versions(ID)]
    assert ordered == sorted(versions, key=precedence)
    shuffled = registry_of(*sorted(versions))
    assert shuffled.snapshot().fingerprint == registry.snapshot().fingerprint
    latest = highest(version for version in versions if "-" not in version)
    found = registry.get(ID)
    assert (found.version if found is not None else None) == latest


@holds("version_resolution")
class ResolutionMachine(RuleBasedStateMachine):
    """Registers, labels and retires in any order; every reference means what a plain search finds."""

    def __init__(self) -> None:
        super().__init__()
        self.registry = CapabilityRegistry()
        self.registry.register_capability(spec("9.9.9", "net.other"))
        record(self.registry, "9.9.9", 0, START_MS, "net.other")
        self.registry.remember_label(LabelChange("net.other", "elsewhere", 1, "9.9.9", START_MS))
        self.change = 2
        self.at_ms = START_MS
        self.created: dict[str, int] = {}
        self.retired: set[str] = set()
        self.labels: dict[str, str] = {}

    def next_change(self) -> int:
        self.change += 1
        return self.change - 1

    @property
    def live(self) -> list[str]:
        return [version for version in self.created if version not in self.retired]

    @rule(version=versions_, waits=st.integers(0, 3))
    def register(self, version: str, waits: int) -> None:
        if version in self.created:
            return
        self.at_ms += waits * 1000
        self.registry.register_capability(spec(version))
        record(self.registry, version, self.next_change(), self.at_ms)
        self.created[version] = self.at_ms

    @precondition(lambda self: self.live)
    @rule(data=st.data(), label=st.sampled_from(["stable", "beta", "old"]))
    def label(self, data: st.DataObject, label: str) -> None:
        version = data.draw(st.sampled_from(self.live))
        before = self.registry.check_label(ID, label)
        assert before == self.labels.get(label)
        self.registry.remember_label(LabelChange(ID, label, self.next_change(), version, self.at_ms))
        self.labels[label] = version

    @precondition(lambda self: self.labels)
    @rule(data=st.data())
    def unlabel(self, data: st.DataObject) -> None:
        label = data.draw(st.sampled_from(sorted(self.labels)))
        self.registry.remember_label(LabelChange(ID, label, self.next_change(), None, self.at_ms))
        del self.labels[label]

    @precondition(lambda self: self.created)
    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(sorted(self.created)))
        newest = highest(entry for entry in self.live if "-" not in entry) or highest(self.live)
        reasons = {
            "VERSION_NOT_FOUND": version in self.retired,
            "VERSION_NEWEST": version == newest,
            "VERSION_LABELLED": version in self.labels.values(),
        }
        expected = next((code for code, holds_ in reasons.items() if holds_), None)
        assert code_of(lambda: self.registry.check_retirement(ID, version)) == expected
        if expected is not None:
            return
        known = self.registry.recorded(ID, version)
        assert known is not None
        fact = RecordedVersion(
            ID,
            version,
            known.fingerprint,
            known.registered,
            known.registered_at_ms,
            self.next_change(),
            self.at_ms,
        )
        self.registry.remember_version(fact)
        self.retired.add(version)

    def expect(self, reference: str, version: str | None, how: How) -> None:
        whole = f"{ID}{reference}"
        if version is None or version in self.retired:
            code = "VERSION_NOT_FOUND" if self.created else "CAPABILITY_UNKNOWN"
            assert refusal(self.registry, whole).code == code
            return
        found = self.registry.resolution(whole)
        assert (found.spec.version, found.how) == (version, how)
        assert self.registry.resolution(whole) == found

    @rule(text=ranges)
    def look_for_a_range(self, text: str) -> None:
        allowed = [version for version in self.live if plain_range(text, version)]
        self.expect(f"@{text}", highest(allowed), How.RANGE)

    @rule(version=versions_)
    def look_for_a_version(self, version: str) -> None:
        self.expect(f"@{version}", version if version in self.live else None, How.EXACT)

    @rule(back=st.integers(-2, 12), form=st.sampled_from(["iso", "s", "ms"]))
    def look_for_a_moment(self, back: int, form: str) -> None:
        at_ms = self.at_ms - back * 500
        if form == "s":
            at_ms -= at_ms % 1000
        then = [version for version, at in self.created.items() if at <= at_ms and "-" not in version]
        texts = {"iso": iso(at_ms), "s": str(at_ms // 1000), "ms": str(at_ms)}
        self.expect(f"@{texts[form]}", highest(then), How.MOMENT)

    @precondition(lambda self: self.created)
    @rule(data=st.data(), length=st.sampled_from([8, 20, 64]))
    def look_for_a_fingerprint(self, data: st.DataObject, length: int) -> None:
        version = data.draw(st.sampled_from(sorted(self.created)))
        self.expect(f"@sha256:{spec(version).fingerprint[:length]}", version, How.FINGERPRINT)

    @invariant()
    def the_latest_is_the_highest_release(self) -> None:
        self.expect("", highest(version for version in self.live if "-" not in version), How.LATEST)

    @invariant()
    def a_label_means_its_version_here_and_nowhere_else(self) -> None:
        for label in ("stable", "beta", "old", "elsewhere"):
            self.expect(f"@{label}", self.labels.get(label), How.LABEL)

    @invariant()
    def the_history_is_newest_first_and_whole(self) -> None:
        if self.created:
            found = [
                (entry.created_at_ms or 0, precedence(entry.version)) for entry in self.registry.history(ID)
            ]
            assert found == sorted(found, reverse=True)
            assert len(found) == len(self.created)


TestResolution = ResolutionMachine.TestCase


def iso(at_ms: int) -> str:
    from assent.spec.words.durations import instant

    return instant(at_ms)


@pytest.mark.parametrize(
    ("reference", "code", "hint"),
    [
        ("@2.0.0", "VERSION_NOT_FOUND", "the nearest is `net.mail@1.4.0`"),
        ("@0.1.0", "VERSION_NOT_FOUND", "the nearest is `net.mail@1.0.0`"),
        ("@^3", "VERSION_NOT_FOUND", "the nearest is `net.mail@1.4.0`"),
        ("@stabel", "VERSION_NOT_FOUND", "did you mean `stable`?"),
        ("@2026-09-30", "VERSION_NOT_FOUND", "the first is `1.0.0`, of 2026-10-01T00:00:00.000Z"),
        ("@sha256:00000000", "VERSION_NOT_FOUND", "assent capability history net.mail"),
        ("@1.2.3.4", "INVALID_VERSION", "a moment like"),
        ("@", "INVALID_VERSION", "a moment like"),
        ("@v1.0.0", "INVALID_VERSION", "did you mean `net.mail@1.0.0`?"),
        ("@latest", "INVALID_VERSION", "`net.mail` alone means the latest"),
        ("@12ab34cd56", "INVALID_VERSION", "`net.mail@sha256:12ab34cd56`"),
        ("@2026-02-30", "INVALID_VERSION", "a moment like"),
        ("@Stable", "INVALID_VERSION", "a label"),
    ],
)
def test_a_reference_that_means_nothing_says_what_is_nearest(reference: str, code: str, hint: str) -> None:
    registry = registry_of("1.0.0", "1.4.0")
    registry.remember_label(LabelChange(ID, "stable", 2, "1.0.0", START_MS))
    error = refusal(registry, ID + reference)
    assert error.code == code
    assert error.hint is not None
    assert hint in error.hint


def test_a_label_that_was_never_set_says_how_to_set_it() -> None:
    error = refusal(registry_of("1.0.0"), f"{ID}@stable")
    assert error.hint == "set it: assent capability label net.mail stable"


def test_pre_releases_are_used_only_when_they_are_asked_for() -> None:
    """Alone, they leave the bare id without a meaning, and the refusal names the one to ask for."""
    registry = registry_of("2.0.0-rc.1")
    error = refusal(registry, ID)
    assert error.code == "VERSION_NOT_FOUND"
    assert error.hint is not None
    assert "`net.mail@2.0.0-rc.1`" in error.hint
    assert refusal(registry, f"{ID}@*").code == "VERSION_NOT_FOUND"
    assert refusal(registry, f"{ID}@2026-12-01").hint == error.hint
    assert registry.resolve(f"{ID}@>=2.0.0-alpha").version == "2.0.0-rc.1"
    assert registry.resolve(f"{ID}@2.0.0-rc.1").version == "2.0.0-rc.1"


def test_a_version_that_was_recorded_and_is_gone_is_never_replaced_by_another() -> None:
    """A moment, a label and a number that mean it say that it is not installed; the bare id means what is there."""
    registry = registry_of("1.0.0")
    record(registry, "2.0.0", 1, START_MS + DAY_MS)
    registry.remember_label(LabelChange(ID, "stable", 2, "2.0.0", START_MS))
    for reference in ("@2.0.0", "@stable", "@2026-12-01"):
        error = refusal(registry, ID + reference)
        assert error.code == "VERSION_NOT_FOUND"
        assert "`net.mail@2.0.0`" in error.message
        assert "not installed" in error.message
    assert registry.resolve(ID).version == "1.0.0"
    assert [entry.version for entry in registry.history(ID)] == ["2.0.0", "1.0.0"]


def test_a_snapshot_of_an_earlier_revision_knows_nothing_of_what_came_later() -> None:
    """Versions, labels and retirements since do not show; what was removed from the machine is missed by its name."""
    registry = registry_of("1.0.0", "1.1.0")
    registry.remember_label(LabelChange(ID, "stable", 2, "1.0.0", START_MS))
    registry.remember_label(LabelChange(ID, "stable", 3, "1.1.0", START_MS))
    record(registry, "2.0.0", 4, START_MS)
    assert registry.revision == 5
    before = registry.snapshot_at(3)
    assert before.resolve(ID).version == "1.1.0"
    assert before.resolve(f"{ID}@stable").version == "1.0.0"
    with pytest.raises(InputError) as caught:
        registry.snapshot_at(5).resolve(ID)
    assert "`net.mail@2.0.0`, which `latest` means, is not installed here" in caught.value.message
    with pytest.raises(InputError) as caught:
        registry.snapshot_at(0).resolve(ID)
    assert caught.value.code == "CAPABILITY_UNKNOWN"


def test_what_is_not_recorded_yet_counts_from_the_moment_that_was_said() -> None:
    registry = CapabilityRegistry()
    registry.register_capability(spec("1.0.0"))
    assert refusal(registry, f"{ID}@2099-01-01").code == "VERSION_NOT_FOUND"
    registry.count_unrecorded_from(START_MS)
    assert registry.resolve(f"{ID}@{START_MS}").version == "1.0.0"
    assert refusal(registry, f"{ID}@{START_MS - 1}").code == "VERSION_NOT_FOUND"


def test_a_prefix_of_two_fingerprints_is_ambiguous(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = registry_of("1.0.0", "1.1.0")
    for number, version in enumerate(("1.0.0", "1.1.0")):
        found = registry.resolve(f"{ID}@{version}")
        monkeypatch.setitem(found.__dict__, "fingerprint", "abcdef12" + str(number) * 56)
    assert refusal(registry, f"{ID}@sha256:abcdef12").code == "VERSION_AMBIGUOUS"
    assert registry.resolve(f"{ID}@sha256:abcdef121").version == "1.1.0"


def test_a_deploy_shows_at_once_and_what_is_remembered_is_bounded() -> None:
    """Registering and labelling make every answer fresh; no caller can fill the memory with references."""
    registry = registry_of("1.0.0")
    assert registry.resolve(ID).version == "1.0.0"
    registry.register_capability(spec("1.1.0"))
    assert registry.resolution(ID) == Resolution(registry.resolve(f"{ID}@1.1.0"), How.LATEST)
    snapshot = registry.snapshot()
    for number in range(RESOLUTIONS_MAX + 10):
        snapshot.resolve(f"{ID}@<{number + 2}")
    assert len(snapshot._known) <= RESOLUTIONS_MAX


@pytest.mark.parametrize("label", ["latest", "x", "Stable", "1.0", "a b", "", "a" * 65])
def test_what_could_be_read_in_another_way_can_be_no_label(label: str) -> None:
    with pytest.raises(InputError) as caught:
        registry_of("1.0.0").check_label(ID, label)
    assert caught.value.code == "LABEL_INVALID"


def test_callers_speak_the_version_that_they_name_though_it_is_retired() -> None:
    registry = registry_of("1.0.0", "1.1.0")
    with pytest.raises(InputError):
        registry.snapshot().spoken("net.nothing")
    assert registry.snapshot().spoken(ID).version == "1.1.0"
    registry.remember_version(
        RecordedVersion(ID, "1.0.0", spec("1.0.0").fingerprint, 0, START_MS, 2, START_MS)
    )
    assert registry.snapshot().spoken(f"{ID}@1.0.0").version == "1.0.0"
    with pytest.raises(InputError):
        registry.resolve(f"{ID}@1.0.0")
    with pytest.raises(InputError):
        registry.snapshot().spoken(f"{ID}@9.0.0")

"""Tables of settings, said once: each key with its kind, its bounds, what it means and what holds where nothing is said.

From one such table a file is read strictly (`TableReader`), `assent doctor` shows what holds, and `docs/settings.md` is held to
it. Reading gives checked values of JSON by key; durations are whole milliseconds. Whoever is told of a fault finds its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from assent.errors import Json
from assent.spec.documents.toml import Key, toml_key
from assent.spec.ids import LABEL, PRINCIPAL_ID
from assent.spec.principal import PrincipalKind
from assent.spec.words.articles import with_article
from assent.spec.words.durations import DURATION_MAX_MS, parse_duration_ms, write_duration
from assent.spec.words.suggestions import did_you_mean, suggest

Read: TypeAlias = Callable[[object], Json]
"""Gives the checked value, or raises ValueError with the rest of the sentence `KEY …`."""

Report: TypeAlias = Callable[[Key, str, "str | None"], None]
"""Takes a fault: where it is, what is wrong, and what to do."""


class WithinError(ValueError):
    """A fault further down in a value: what is said of it, where below its key that is, and what to do."""

    def __init__(self, message: str, below: Key, hint: str | None = None) -> None:
        super().__init__(message)
        self.below = below
        self.hint = hint


class Setting(msgspec.Struct, frozen=True):
    """One key of a table."""

    read: Read
    means: str
    """For the page of settings: what it is."""
    default: Json = None
    unless: str = ""
    """For the page: what holds where nothing is said; empty where the default tells it."""
    is_required: bool = False
    is_always_shown: bool = False
    """Shown by `assent doctor` also where no file says it."""
    names: str = ""
    """For a list of names: the table of tables beside it that has them."""
    check_file: Callable[[Path], None] | None = None
    """For one that names a file which must be there and sound; raises ValueError as `read` does."""


class Named(msgspec.Struct, frozen=True):
    """A table of tables whose names the user chooses: one for each principal, limit or rule."""

    what: str
    """What such a name is: `name of a rule`."""
    table: Mapping[str, Setting]
    reserved: Mapping[str, Table] = {}
    """Names that the user can't choose: their tables are ours."""
    is_name: Callable[[str], bool] = lambda name: PRINCIPAL_ID.match(name) is not None
    signs: str = ". _ @ + - /"
    check: Callable[[Mapping[str, object]], None] | None = None
    """Raises `WithinError`, with the rest of the sentence `[TABLE] …`, where the keys of one of them do not go together."""
    shown: Callable[[Mapping[str, Json]], dict[str, Json]] = dict
    """One of them as people may see it."""
    unless: str | None = None
    """What is shown where there is none; None: nothing is."""


Table: TypeAlias = "Mapping[str, Setting | Named | Table]"


def text(value: object) -> Json:
    """Text that says something."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("must be text")
    return value


def path(value: object) -> Json:
    """The path of a file or folder, relative to the file that names it; whoever collects the values makes it absolute."""
    return text(value)


def label(value: object) -> Json:
    """A name for people."""
    if not isinstance(value, str) or not LABEL.match(value):
        raise ValueError("must be a name: letters, digits, spaces and `._/:@+-`, at most 128 characters")
    return value


def principals(value: object) -> Json:
    """A pattern of principals. One that none can fit would be a limit on nobody."""
    begins, star, _ = str(value).partition("*")
    kinds = [f"{kind}:" for kind in PrincipalKind]
    fits = any(begins.startswith(kind) or (star and kind.startswith(begins)) for kind in kinds)
    if not isinstance(value, str) or not fits or (begins in kinds and not star):
        raise ValueError("must be a pattern of principals: `user:ann`, `agent:*`, `*`")
    return value


def capabilities(value: object) -> Json:
    """A pattern of ids of capabilities, as `principals`."""
    if not isinstance(value, str) or not value or value.strip("abcdefghijklmnopqrstuvwxyz0123456789_.*"):
        raise ValueError("must be a pattern of ids: `io.fs.write_file`, `io.*`, `*`")
    return value


def flag(value: object) -> Json:
    """True or false."""
    if value is not True and value is not False:
        raise ValueError("must be true or false")
    return value


# Readers are plain classes: each of these is made at every start, and a dataclass costs a millisecond to make.


class Whole:
    """A whole number within bounds."""

    __slots__ = ("least", "most")

    def __init__(self, least: int, most: int) -> None:
        self.least = least
        self.most = most

    def __call__(self, value: object) -> Json:
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise ValueError(f"must be a whole number between {self.least} and {self.most}")
        return value


class Duration:
    """A time, read into whole milliseconds; without bounds of its own it may be as long as any."""

    __slots__ = ("least_ms", "most_ms")

    def __init__(self, least_ms: int = 1, most_ms: int = DURATION_MAX_MS) -> None:
        self.least_ms = least_ms
        self.most_ms = most_ms

    def __call__(self, value: object) -> Json:
        what = "must be a duration: seconds (`30`) or `500ms`, `30s`, `5m`, `2h`"
        if self.most_ms != DURATION_MAX_MS:
            least, most = write_duration(self.least_ms), write_duration(self.most_ms)
            what = f"must be a duration between `{least}` and `{most}`"
        try:
            found = parse_duration_ms(value if isinstance(value, str | int | float) else None)
        except ValueError:
            raise ValueError(what) from None
        if not self.least_ms <= found <= self.most_ms:
            raise ValueError(what)
        return found


class Matching:
    """Text of a form; `form` is the sentence that refuses any other."""

    __slots__ = ("form", "is_good")

    def __init__(self, form: str, is_good: Callable[[str], object]) -> None:
        self.form = form
        self.is_good = is_good

    def __call__(self, value: object) -> Json:
        if not isinstance(value, str) or not self.is_good(value):
            raise ValueError(self.form)
        return value


class Texts:
    """A list of texts, each once. `form` is the sentence that refuses what is no such list, `wrong` what is said of the first
    entry that is not good (without it the form is said again), and `normal` writes an entry in the one way in which it is kept.
    """

    __slots__ = ("form", "is_good", "is_sorted", "may_be_empty", "normal", "wrong")

    def __init__(
        self,
        form: str,
        is_good: Callable[[str], object] = bool,
        wrong: str = "",
        *,
        may_be_empty: bool = False,
        is_sorted: bool = False,
        normal: Callable[[str], str] = str,
    ) -> None:
        self.form = form
        self.is_good = is_good
        self.wrong = wrong
        self.may_be_empty = may_be_empty
        self.is_sorted = is_sorted
        self.normal = normal

    def __call__(self, value: object) -> list[Json]:
        if (
            not isinstance(value, list)
            or not (value or self.may_be_empty)
            or not all(isinstance(one, str) and one for one in value)
        ):
            raise ValueError(self.form)
        found = [self.normal(one) for one in value]
        for one in found:
            if not self.is_good(one):
                raise ValueError(f"can't hold `{one[:80]}`: {self.wrong}" if self.wrong else self.form)
        return [*(sorted(set(found)) if self.is_sorted else dict.fromkeys(found))]


def some_of(known: tuple[str, ...], what: str) -> Texts:
    """Some of a closed set."""
    form = f"must be a list of {what}: {', '.join(f'`{one}`' for one in known)}"
    return Texts(form, known.__contains__, is_sorted=True)


PRINCIPALS: Final = Texts('must be a list of principals: `["agent:*", "user:ada"]`')
DURATION: Final = Duration()


def setting_at(key: Key, schema: Table) -> Setting | None:
    """The setting of a key; None for what a user named, and for what there is not."""
    found: Setting | Named | Table | None = schema
    for name in key:
        if isinstance(found, Named):
            found = found.reserved.get(name)
        else:
            found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Setting) else None


def unit_of(key: Key, schema: Table) -> str | None:
    """What the number of a setting counts: `ms` for durations, `bytes`; None for every other setting."""
    found = setting_at(key, schema)
    if found is None:
        return None
    return "ms" if isinstance(found.read, Duration) else "bytes" if key[-1].endswith("_bytes") else None


def fields(
    said: Mapping[str, Json], table: Table
) -> dict[str, Any]:  # `Any`: each field has a type of its own
    """What was said under the keys of a table, as keywords of the type that is made of it: durations are called `…_ms`."""
    return {
        f"{name}_ms" if isinstance(one.read, Duration) else name: Path(str(said[name]))
        if one.read is path
        else said[name]
        for name, one in table.items()
        if isinstance(one, Setting) and said.get(name) is not None
    }


def listed(said: Mapping[str, Json], key: str) -> tuple[str, ...]:
    """A list of texts among values that were read; empty where there is none."""
    value = said.get(key)
    return tuple(map(str, value)) if isinstance(value, list) else ()


def tables(said: Mapping[str, Json], key: str) -> Mapping[str, Mapping[str, Json]]:
    """The tables that the user named under a key, of values that were read."""
    value = said.get(key)
    return (
        {name: one for name, one in value.items() if isinstance(one, dict)} if isinstance(value, dict) else {}
    )


class TableReader:
    """Reads what a file holds by `schema` into `values`. Keys among `removed` are noted and not read, faults go to `report`.

    `everything` is what any file may hold: it says where a key belongs that stands in the wrong table.
    """

    def __init__(self, schema: Table, everything: Table, removed: frozenset[Key], report: Report) -> None:
        self.schema = schema
        self.everything = everything
        self.removed = removed
        self.report = report
        self.values: dict[Key, Json] = {}

    def read(self, found: Mapping[str, object]) -> None:
        """Read the whole of a file."""
        self._table(found, self.schema, ())

    def _table(self, table: Mapping[str, object], schema: Table, above: Key) -> None:
        for name, value in table.items():
            key = (*above, name)
            known = schema.get(name)
            if key in self.removed:
                self.values[key] = None
            elif known is None:
                self._unknown(key, schema)
            elif isinstance(known, Setting):
                try:
                    self.values[key] = known.read(value)
                except WithinError as error:
                    self.report((*key, *error.below), str(error), error.hint)
                except ValueError as error:
                    self.report(key, f"`{name}` {error}", None)
                else:
                    self._require_named(key, known, table)
            elif not isinstance(value, dict):
                self.report(key, f"`{name}` must be a table: `[{'.'.join(key)}]`", None)
            elif isinstance(known, Named):
                self._named(value, known, key)
            else:
                self._table(value, known, key)

    def _require_named(self, key: Key, setting: Setting, beside: Mapping[str, object]) -> None:
        if not setting.names:
            return
        found = beside.get(setting.names)
        known = found if isinstance(found, Mapping) else {}
        for one in listed({"": self.values[key]}, ""):
            if one not in known:
                place = ".".join((*key[:-1], setting.names, one))
                self.report(
                    key, f"`{key[-1]}` names `{one}`, and there is no `[{place}]`", did_you_mean(one, known)
                )

    def _unknown(self, key: Key, schema: Table) -> None:
        *above, name = key
        where = f"`[{'.'.join(above)}]`" if above else "the file"
        hint = f"{where} has: {', '.join(schema)}"
        elsewhere = [outer for outer in _tables_with(name, self.everything) if outer != tuple(above)]
        if elsewhere and elsewhere[0]:
            hint = f"it is written as `{'.'.join((*elsewhere[0], name))}`"
        elif elsewhere:
            is_plain = isinstance(self.everything[name], Setting)
            alone = "stands above every table" if is_plain else "is a table of its own"
            hint = f"`{name}` {alone}; {hint}"
        kind, _, named = name.partition(":")
        if isinstance(schema.get(f"{kind}s"), Named) and named:  # as a principal is called everywhere else
            hint = f"it is written as `[{'.'.join((*above, f'{kind}s', toml_key(named)))}]`"
        else:
            hint = did_you_mean(name, schema, otherwise=hint) or hint
        self.report(key, f"{where} has no key `{name}`", hint)

    def _named(self, table: Mapping[str, object], known: Named, above: Key) -> None:
        for name, value in table.items():
            key = (*above, name)
            if name in known.reserved and isinstance(value, dict):
                self._table(value, known.reserved[name], key)
            elif not known.is_name(name):
                hint = f"letters, digits and `{known.signs}`, at most 128, starting with a letter or digit"
                self.report(key, f"`{name}` is not {with_article(known.what)}", hint)
            elif not isinstance(value, dict):
                self.report(key, f"`{name}` must be a table: `[{'.'.join(key)}]`", None)
            else:
                for one, setting in known.table.items():
                    if setting.default is not None:
                        self.values.setdefault((*key, one), setting.default)
                self._table(value, known.table, key)
                # Who misspelt a key is told that alone, not also that the right one is missing.
                meant = {suggest(one, known.table) for one in value if one not in known.table}
                for one, setting in known.table.items():
                    if setting.is_required and one not in value and one not in meant:
                        self.report(key, f"`[{'.'.join(key)}]` needs `{one}`", None)
                try:
                    if known.check is not None:
                        known.check(value)
                except WithinError as error:
                    self.report((*key, *error.below), f"`[{'.'.join(key)}]` {error}", error.hint)


def _tables_with(name: str, schema: Table, above: Key = ()) -> list[Key]:
    found = [above] if name in schema else []
    for key, below in schema.items():
        if isinstance(below, Mapping):
            found += _tables_with(name, below, (*above, key))
    return found

"""Examples of calls: `assent plugin test` tries every promise of a capability on each of them, as the tests do."""

from assent.testing import Case

CASES = {
    "notes.list": [Case(), Case(files={"a.notes.txt": "one", "b.txt": "another"})],
    "notes.add": [
        Case({"title": "first", "text": "hello\n"}),
        Case({"title": "second", "text": ""}, files={"first.notes.txt": "hello"}),
        Case({"title": "first", "text": "again"}, files={"first.notes.txt": "hello"}, fails="TITLE_TAKEN"),
        Case({"title": "../up", "text": ""}, fails="TITLE_INVALID"),
    ],
}

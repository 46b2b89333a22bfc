"""`assent knowledge`: its commands, each loaded when it is called."""

from __future__ import annotations

from typing import Final

from assent.cli._command import Group, lazy

_COMMANDS: Final = lazy(
    "assent.cli.knowledge",
    ("add", "_repositories", "add", "Write a folder into assent.toml, to be indexed."),
    ("plan", "_acts", "plan", "Show what indexing would read, and what not."),
    ("index", "_acts", "index", "Index repositories of the workspace."),
    ("watch", "_repositories", "watch", "Index what changes, as long as it runs."),
    ("search", "_acts", "search", "Find the places that answer a question."),
    ("show", "_acts", "show", "Print a chunk that a search has found."),
    ("status", "_acts", "status", "Tell what can be searched."),
    ("verify", "_acts", "verify", "Read all that was indexed against its roots, or an export."),
    ("prove", "_acts", "prove", "Show that a chunk was indexed, by the entry of the ledger that binds it."),
    ("export", "_acts", "export", "Write what was indexed, with its proof, to one file."),
    ("forget", "_acts", "forget", "Remove files from what can be searched, for good."),
    ("compact", "_acts", "compact", "Remove what was replaced before, for good."),
    ("model", "_setup", "model", "Have a model find by meaning too."),
    ("key", "_setup", "key", "Replace or recover the keys of the store."),
    ("erase", "_acts", "erase", "Destroy the keys of all that was indexed."),
)

knowledge: Final = Group(
    "knowledge",
    lazy=_COMMANDS,
    no_args_is_help=True,
    help="What the workspace holds: indexed, searched by who may see it, proved and forgotten.",
)

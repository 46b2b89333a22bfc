"""Reading a plugin as it was found: its bytes, what it declares of itself, and the manifest that is made of both."""

from __future__ import annotations

from assent.plugins._code import PluginCode
from assent.plugins._declaration import DECLARATION_FILE, declared
from assent.plugins._reading import PluginText, read_plugin
from assent.plugins._sources import PluginSource, require_own_modules
from assent.plugins._trust import Candidate
from assent.plugins.manifest import SourceKind
from assent.plugins.scan import scan


def read_candidate(source: PluginSource, *, assent: str) -> Candidate:
    """The plugin as it stands now; nothing of it is imported. `assent` is the version of Assent that it would run with.

    Raises what `read_plugin` raises, PLUGIN_SOURCE_INVALID, and `RefusedError` PLUGIN_SHADOWS when one of its modules takes the
    name of one that is not its own.
    """
    if source.path is None:
        code = PluginCode.read(source.roots)
        text = _installed(source, code)
    else:
        # What `assent plugin inspect PATH` reads, so that both speak of the same fingerprint.
        text = read_plugin(source.path)
        code = PluginCode(text.files, {name: str(source.base / name) for name in text.files})
    require_own_modules(source, code.tops)
    return Candidate(source, code, scan(text.files, text.declaration, text.kind), assent)


def _installed(source: PluginSource, code: PluginCode) -> PluginText:
    # Its folder is an unpacked wheel, and reads as the wheel did before it was installed.
    declaring = {
        name: data for name, data in code.files.items() if name.rpartition("/")[2] == DECLARATION_FILE
    }
    declaration = declared(declaring, name=source.name, metadata=source.metadata)
    return PluginText(SourceKind.WHEEL, code.files, declaration)

"""The codes that finding, trusting and loading plugins can meet."""

from __future__ import annotations

from typing import Final

from assent.errors._explanation import Explanation

PLUGIN_CODES: Final[dict[str, Explanation]] = {
    "PLUGIN_UNKNOWN": Explanation(
        "No plugin of this name can be found.",
        "Add its path to `[plugins] paths` in `assent.toml`, or install it with an entry point in the group `assent.plugins`; "
        "`assent plugin list` shows what is found.",
    ),
    "PLUGIN_INVALID": Explanation(
        "A plugin does not have the form of one: it is no file, package or project, it holds links, or its entry can't be used.",
        "Mend what the message names; nothing of it was imported.",
    ),
    "PLUGIN_AMBIGUOUS": Explanation(
        "Two plugins have the same name, and neither is loaded.",
        "Take one of them out of `[plugins] paths`, or uninstall it.",
    ),
    "PLUGIN_UNTRUSTED": Explanation(
        "Nobody has trusted the plugin, so it was not imported.",
        "Look at it with `assent plugin inspect`, then `assent plugin trust`.",
    ),
    "PLUGIN_CHANGED": Explanation(
        "A plugin is not what was trusted: a file, its manifest or a dependency is another now. It was not imported.",
        "Look at the differences; `assent plugin trust` shows them and asks again.",
    ),
    "PLUGIN_OVERREACHES": Explanation(
        "A plugin's code does more than it declares, or hides what it does. It can't be trusted and was not imported.",
        "Have its maker declare the permission that the message names, or take the code out.",
    ),
    "PLUGIN_NATIVE": Explanation(
        "A plugin holds code that nobody can read (compiled modules, `ctypes`, `exec`, `pickle`), and was not trusted with it.",
        "Trust it with `--native` if you trust whoever made it: such code can do whatever the process can.",
    ),
    "PLUGIN_SHADOWS": Explanation(
        "A plugin takes a name that is not its own: a built-in capability, another plugin's, or a module of somebody else.",
        "Its maker has to rename it.",
    ),
    "PLUGIN_DIFFERS": Explanation(
        "What a plugin registers when it is imported is not what its manifest says. Nothing of it stays registered.",
        "Have its maker register what the code states; the details list each difference.",
    ),
    "PLUGIN_INTERFERES": Explanation(
        "A plugin changes what all code shares: modules of others, builtins, the import path, or the start of Python itself.",
        "Do not use it, or have its maker leave those alone. What it changed was put back.",
    ),
    "PLUGIN_FAILED": Explanation(
        "A plugin raised an error while it was imported. Nothing of it stays registered.",
        "Mend the place that the path names, and trust it again.",
    ),
    "PLUGIN_IN_USE": Explanation(
        "A plugin of this name is loaded already.",
        "Unload it first, or reload it.",
    ),
    "PLUGIN_LOCK_INVALID": Explanation(
        "`assent-plugins.lock` can't be read as what it is, so no plugin is trusted.",
        "Restore it from your version control, or remove it and trust each plugin anew.",
    ),
    "PLUGIN_LOCK_PERMISSIONS": Explanation(
        "`assent-plugins.lock` can be changed by its group or by everybody, so nothing in it can be relied on.",
        "Look at what it trusts, then take the permission away: `chmod go-w FILE`.",
    ),
    "PLUGIN_APP_UNAVAILABLE": Explanation(
        "A plugin asked for `context.app` in its worker, a process of its own, where nothing of the application reaches.",
        "Give it what it needs by inputs and secrets, or trust it with `--in-process`, if its maker deserves that.",
    ),
    "PLUGIN_DENIED": Explanation(
        "A plugin's worker asked for what its call may not do: change the world in a part that only reads, read a blob that is "
        "not its own, or take more of something than one call may have.",
        "Have its maker do it where it belongs; nothing of it was done.",
    ),
    "PLUGIN_HOST_UNDECLARED": Explanation(
        "A plugin's code sends a request, or is led on by an answer, to where its trusted manifest does not let it go: another "
        "host, method, port, or without encryption. Nothing was sent there.",
        "Have its maker declare it under `permissions.network`, look at the change, and trust it anew; or leave it at that.",
    ),
    "PLUGIN_MESSAGE_TOO_LARGE": Explanation(
        "What a plugin gave, or what its call remembers, is larger than one message between it and Assent may be.",
        "Put large data into `context.blobs` or files, and give their digests or paths.",
    ),
    "PLUGIN_MISBEHAVED": Explanation(
        "A plugin's worker broke the protocol: it sent what is no message, or answered for what it was not given. It was ended.",
        "Do not use the plugin before its maker has explained that; no correct plugin does it.",
    ),
    "PLUGIN_WORKER_DIED": Explanation(
        "The process in which a plugin runs ended while it performed a call, or was ended because a part went on after its time. "
        "What the call did is not known, as after any crash.",
        "The next call starts another worker; `details` tells how it ended and the last that it printed.",
    ),
    "PLUGIN_WORKER_MISSING": Explanation(
        "No process could be started for a plugin, so its part was not called and nothing has happened.",
        "The message says what kept it from starting; `assent doctor` shows whether programs can be confined here.",
    ),
    "PLUGIN_EXISTS": Explanation(
        "The folder that a new plugin was to be made in is there already; nothing was written.",
        "Choose another name, or another folder with `--into`.",
    ),
}

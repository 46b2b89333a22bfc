"""The codes of reading a plugin without running it: faults of the source, and warnings about what the code does."""

from __future__ import annotations

from typing import Final

from assent.errors._explanation import Explanation

MANIFEST_CODES: Final[dict[str, Explanation]] = {
    "MANIFEST_INVALID": Explanation(
        "A document that should be a plugin's manifest does not have its shape.",
        "Have it written anew with `assent plugin inspect PATH --json`.",
    ),
    "PLUGIN_DECLARATION_INVALID": Explanation(
        "What a plugin says of itself (`[tool.assent.plugin]`, `assent-plugin.toml`) can't be used; all faults are listed.",
        "Mend the key that the path names.",
    ),
    "PLUGIN_SOURCE_INVALID": Explanation(
        "A Python file of a plugin can't be read: wrong syntax, not UTF-8, too large, or nested too deeply.",
        "Mend the place that the path names; all files that can't be read are listed.",
    ),
    # -- warnings of `assent plugin inspect`: nothing failed, but a person should know ------------------------------------------
    "PLUGIN_CALL_HIDDEN": Explanation(
        "A plugin's code reaches something in a roundabout way: by a name put together from pieces, through another module, or "
        "from encoded text.",
        "Read the place yourself. Plain code has no reason for it.",
    ),
    "PLUGIN_CODE_DYNAMIC": Explanation(
        "A plugin's code makes or finds code while it runs (`exec`, `pickle`, a computed import), which no reading sees.",
        "Read the place yourself, or do without the plugin.",
    ),
    "PLUGIN_CODE_NATIVE": Explanation(
        "A plugin holds or runs machine code or bytecode, which can be imported but not read.",
        "Ask for the source, or trust it only as far as you trust its author.",
    ),
    "PLUGIN_CODE_PATCHES": Explanation(
        "A plugin replaces an attribute of another package, for everybody who uses that package.",
        "Have it wrap the function instead.",
    ),
    "PLUGIN_STARTS_WITH_PYTHON": Explanation(
        "A plugin installs a file that runs whenever Python starts, before Assent could hold anything back.",
        "Do not install it.",
    ),
    "PLUGIN_ID_SHADOWS": Explanation(
        "A plugin declares a capability under an id that is there already, or that belongs to Assent itself.",
        "Begin the plugin's ids with a name of its own.",
    ),
    "PLUGIN_ID_TWICE": Explanation(
        "A plugin declares the same version of one capability in two places.",
        "Give one of them another id or version.",
    ),
    "PLUGIN_IMPORT_EFFECT": Explanation(
        "Importing a plugin already reaches the network, a process, a file or the environment, before any policy is asked.",
        "Move it into a handler, or into a module of the application that is started.",
    ),
    "PLUGIN_NETWORK_UNDECLARED": Explanation(
        "A plugin's code reaches the network, or a host, that its declaration does not ask for.",
        "Declare the hosts under `permissions.network`, or take the code out.",
    ),
    "PLUGIN_NETWORK_DIRECT": Explanation(
        "A plugin's code reaches the network by itself, not through `context.http`. In a worker there is no network, whatever "
        "was declared: such code fails there.",
        "Have it use `context.http`, or let it into Assent's own process with `--in-process`, if its maker deserves that.",
    ),
    "PLUGIN_NETWORK_ANYWHERE": Explanation(
        "A plugin asks to reach every host, so that only `[net]` of the configuration bounds where it sends what it was given.",
        "Have it name its hosts under `permissions.network`, or see that `[net]` has rules.",
    ),
    "PLUGIN_PROCESS_UNDECLARED": Explanation(
        "A plugin's code starts or steers processes that its declaration does not ask for.",
        "Declare the programs under `permissions.process`, or take the code out.",
    ),
    "PLUGIN_FILES_UNDECLARED": Explanation(
        "A plugin's code reaches files by other ways than `context.world`, and its declaration does not ask for them.",
        "Use `context.world.files`, or declare the paths under `permissions.files`.",
    ),
    "PLUGIN_ENVIRONMENT_UNDECLARED": Explanation(
        "A plugin's code reads the environment, and its declaration does not ask for it.",
        "Declare the variables under `permissions.environment`, or take them from the configuration.",
    ),
    "PLUGIN_SECRET_UNDECLARED": Explanation(
        "A plugin's code asks for a secret that its declaration does not name.",
        "Declare it under `permissions.secrets`.",
    ),
    "PLUGIN_RISK_UNDERSTATED": Explanation(
        "A capability can come to more than its operation or labels say.",
        "State the operation, risk and labels of what the code really does.",
    ),
    "PLUGIN_PART_MISSING": Explanation(
        "A capability claims a compensation that nothing performs, or has a part that nothing claims.",
        "Attach the part, or mend the claim; it can't be registered as it is.",
    ),
    "PLUGIN_VALUE_UNKNOWN": Explanation(
        "Something about a capability can't be known without running the code, so it can't be compared either.",
        "Write a constant there.",
    ),
    "PLUGIN_PERMISSION_UNUSED": Explanation(
        "A plugin asks for a permission that no code which could be read uses.",
        "Take it out of the declaration.",
    ),
    "PLUGIN_UNDECLARED": Explanation(
        "A plugin declares nothing of itself, so no permission is granted to it.",
        "Add `[tool.assent.plugin]` to its `pyproject.toml` (a single file: in its inline metadata), or an `assent-plugin.toml`.",
    ),
    "PLUGIN_EMPTY": Explanation(
        "No capability was found in a plugin.",
        "Declare one with `@capability`, and see that the path is the one you mean.",
    ),
}

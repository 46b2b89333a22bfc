"""`assent hook`: an agent's own tools ask the gate before they are used.

Each call of a tool starts a process of its own, so these modules import what little they need: no click, and where another
process owns the state nothing of the runtime. Whatever goes wrong here, the tool is not used.
"""

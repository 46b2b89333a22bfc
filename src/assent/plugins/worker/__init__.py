"""Plugins out of process: each in a worker that is confined to what its trusted manifest declares.

A worker is hostile from its first frame on: what it sends is checked like any input from outside, and what it asks for is
answered by the context of the call that it was given, and by nothing else.
"""

from assent.plugins.worker._host import WorkerHost
from assent.plugins.worker._known import KnownRegistrations
from assent.plugins.worker._needs import Launch, Needs
from assent.plugins.worker._process import Child

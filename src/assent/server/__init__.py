"""The service as a daemon: `assent serve` owns a state directory and lets other programs in over HTTP and a Unix socket.

No rule lives here: what comes in becomes a request of the application service, and its answer goes out.
"""

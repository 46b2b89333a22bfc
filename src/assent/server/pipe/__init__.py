"""`assent pipe`: the operations of the service as JSON-RPC 2.0 in frames, for programs that speak neither HTTP nor sockets."""

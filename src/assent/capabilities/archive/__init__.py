"""Hands on archives: `sys.archive.pack` and `sys.archive.unpack`, with readers that refuse what two programs could read apart."""

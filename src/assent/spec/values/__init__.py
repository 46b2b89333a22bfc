"""JSON as data: frozen, canonical, read with types, and compared."""

"""A change of files: planned, made, recognised and taken back."""

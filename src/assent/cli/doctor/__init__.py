"""`assent doctor`: every setting with its source, and the health of each part."""

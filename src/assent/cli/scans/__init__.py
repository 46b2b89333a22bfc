"""`assent scan` and what belongs to it: scanners listed, one run, or a recipe of several."""

"""Text in which people write small things: lengths of time, sizes, patterns, versions; and what a word was meant to be."""

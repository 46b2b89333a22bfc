"""Reading code without running it: from the bytes of a plugin's files to its manifest.

One walk for each module, then names are followed, constants folded, types read, and what the code reaches is told.
"""

from assent.plugins.scan._scan import scan

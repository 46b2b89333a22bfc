"""How answers look on a terminal and in JSON: style, tables, units, errors."""

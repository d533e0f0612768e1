"""Readers of CSV, TSV, JSON lines, Parquet, and the layouts of official downloads.

Every reader returns a `pa.Table` of large_string columns as requested, null where a cell is
absent. It streams its file, so that 600,000 rows never become 600,000 Python strings at once. Only
a line feed ends a line: lone carriage returns, U+2028, form feeds and NULs belong to the text.

The parameter `given` is the path as the user wrote it; errors name it. A file may be of unknown
origin: only regular files are opened, and lines, JSON documents and columns have a bounded size.
"""

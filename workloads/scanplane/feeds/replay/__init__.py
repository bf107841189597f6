"""Recordings: sessions kept as files, and the reader that plays them as if they were live."""

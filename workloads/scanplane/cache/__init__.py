"""The cache: latest boards and quotes, the stream of signals, and the analyzers' saved state.

``interface`` is what the roles see; ``redis`` and ``memory`` are the two homes behind it; every key is built in ``keys``.
"""

"""The planner: resources in, one immutable and content-hashed configuration per role instance out.

Pure: no I/O, no clock. ``scanplane up`` and the operator run the same function on the same resources.
"""

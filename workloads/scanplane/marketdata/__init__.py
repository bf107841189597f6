"""Market data as every part of Scanplane speaks it: channels, immutable events, batches.

Pure: nothing here does I/O or reads a clock. Provider formats end at ``scanplane.feeds``;
from there on an event is one of these structs and time is integer nanoseconds UTC.
"""

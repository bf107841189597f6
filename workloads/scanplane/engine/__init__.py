"""The scanner engine: events and ticks in, boards and signals out. Pure: no I/O and no clock."""

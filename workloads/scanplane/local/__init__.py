"""Home without a cluster: a plan run in one process, with the broker and cache in its own memory."""

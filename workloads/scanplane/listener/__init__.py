"""The listener: holds the one connection of a feed, decodes, partitions and publishes batches."""

"""Home without a cluster: the same resources, the same plan and the same roles, in one process.

Broker and cache are in the process's own memory unless the DataPlane names real ones, and their Secrets are there. A changed
file leads to the same restart as a changed resource in a cluster: a new role beside the old one, and a baton that goes from one
to the other.
"""

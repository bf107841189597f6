"""The broker: batches from listeners to analyzers, and the batons that decide who may work.

``interface`` is what the roles see; ``rabbitmq`` and ``memory`` are the two homes behind it.
"""

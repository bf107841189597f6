"""The broker's home on RabbitMQ 3.10 and later, AMQP 0-9-1.

``connection`` opens and watches connections, ``topology`` names and declares, ``frames`` is the wire form of a batch,
``publisher``, ``consumer`` and ``baton`` each own their connections, ``broker`` puts them behind the interface.
"""

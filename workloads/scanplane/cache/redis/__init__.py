"""The cache's home on Redis 6.2 and later.

``scripts`` are the steps that must be atomic, ``connection`` says what failed in words for people, ``following`` is the
push side, ``cache`` puts them behind the interface.
"""

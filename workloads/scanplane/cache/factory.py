"""Which cache a URL means."""

from scanplane.cache.interface import Cache
from scanplane.cache.memory import MemoryCache
from scanplane.cache.redis.cache import RedisCache

__all__ = ["open_cache"]


def open_cache(url: str | None, namespace: str) -> Cache:
    """Return the cache at *url* without connecting yet, or a new one in memory for None.

    Every key begins with the namespace by the way it is built (``scanplane.cache.keys``), so *namespace* changes
    nothing here. Roles of one process share a cache in memory by sharing the object.
    Raises CacheUnavailableError if *url* is not a Redis URL.
    """
    del namespace
    return MemoryCache() if url is None else RedisCache(url)

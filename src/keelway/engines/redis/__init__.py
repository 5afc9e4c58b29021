"""The Redis engine: an online store that many machines read at once."""

from keelway.engines.redis.online import RedisOnlineStore

__all__ = ["RedisOnlineStore"]

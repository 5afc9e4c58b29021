"""Collects the bytes that nothing needs any more: leftovers, retired versions, old evidence."""

from keelway.register.collect.collect import collect
from keelway.register.collect.records import Collection, RetentionRules, was_collected

__all__ = ["Collection", "RetentionRules", "collect", "was_collected"]

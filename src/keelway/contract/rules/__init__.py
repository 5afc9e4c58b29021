"""The rules of a contract as Ibis expressions, the same on every engine."""

"""The policy engine for Rego, the language of Open Policy Agent, in-process through rego-cpp."""

from keelway.engines.rego.engine import RegoEngine

__all__ = ["RegoEngine"]

"""The command line: parse, call one use case, render.

Every command lives in a module of its group and is imported only when it is called, so `keelway --help` stays fast.
"""

from keelway.surfaces.cli.main import main

__all__ = ["main"]

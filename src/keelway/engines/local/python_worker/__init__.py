"""Models that answer as Python, in processes of their own: neither their time nor their memory is the server's.

`scorer.py` is the server's side, `__main__.py` the process; nothing is imported here, so that a process starts with little.
"""

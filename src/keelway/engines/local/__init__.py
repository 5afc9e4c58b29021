"""The engine that needs no service: files of this machine."""

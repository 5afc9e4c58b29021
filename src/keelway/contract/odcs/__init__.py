"""Reads a contract from Open Data Contract Standard (ODCS) YAML."""

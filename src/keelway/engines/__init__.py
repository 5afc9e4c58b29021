"""Adapters to databases, stores and services: one folder per vendor, none of which imports another."""

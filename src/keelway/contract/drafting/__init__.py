"""Tools for whoever writes a contract: a draft from samples, warnings, a page to read."""

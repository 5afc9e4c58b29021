"""How two versions of a contract differ, and what that means for what uses the data."""

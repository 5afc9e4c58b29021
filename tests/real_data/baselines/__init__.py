"""Projects over well-known data sets, declared as any user would."""

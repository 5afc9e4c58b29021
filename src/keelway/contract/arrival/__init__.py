"""Whether data comes as it should: on time, fresh, and as much as usual."""

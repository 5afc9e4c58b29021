"""What was kept out, and what becomes of it: released or discarded, each by a decision."""

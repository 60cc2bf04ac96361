"""Golden cases, and what they are read with."""

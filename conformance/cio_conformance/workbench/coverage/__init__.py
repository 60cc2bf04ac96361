"""The matrix of coverage: each row of each table, by the states that its value can be in."""

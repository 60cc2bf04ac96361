"""Mutation of what the cases prove: whether some case tells when a rule is changed."""

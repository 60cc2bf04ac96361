"""Mapping tables: from an event in its canonical form to a Customer.io payload. PURE."""

"""Delivery cases: events, a Customer.io that misbehaves, and what must come of both."""

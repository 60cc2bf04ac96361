"""Delivery: what is sent when, the sending itself, and what follows from each answer."""

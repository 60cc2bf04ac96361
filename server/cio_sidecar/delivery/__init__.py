"""Delivery: the queue, the policy of who is sent when, and the sending itself."""

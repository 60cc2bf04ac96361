"""The durable queue: where accepted events are stored until they are settled."""

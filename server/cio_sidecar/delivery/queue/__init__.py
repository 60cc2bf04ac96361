"""The queue: where accepted events are safe until they are settled."""

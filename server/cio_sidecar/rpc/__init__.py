"""The gRPC services, and what they share with any other door: taking events in."""

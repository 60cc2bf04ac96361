"""The conformance suite of cio-sidecar: a fake Customer.io, golden cases and their runner."""

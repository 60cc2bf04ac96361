"""cio-sidecar: a gRPC sidecar that maps analytics events to Customer.io and delivers them."""

__version__ = "0.1.0"

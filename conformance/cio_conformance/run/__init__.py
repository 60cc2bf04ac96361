"""Runs golden cases against a target over gRPC and HTTP."""

"""Fixtures for testing a JupyterHub configuration on the embedded cluster."""

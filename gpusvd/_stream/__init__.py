"""Batches beyond memory, chunk by chunk."""

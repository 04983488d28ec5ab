"""Execute PTX over NumPy arrays."""

from .device import Device

__all__ = ["Device"]

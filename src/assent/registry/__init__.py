"""Which capabilities exist, in which versions, and what a reference such as `io.fs.write_file@1.0.0` means."""

from assent.registry._registry import CapabilityRegistry, RegistrySnapshot

__all__ = ["CapabilityRegistry", "RegistrySnapshot"]

"""The Network Lock Manager, version 4 (RFC 1813 appendix II)."""

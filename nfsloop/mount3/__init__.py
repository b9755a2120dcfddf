"""The MOUNT protocol, versions 1 (RFC 1094 appendix A) and 3 (RFC 1813 appendix I)."""

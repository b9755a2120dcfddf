"""The port mapper and rpcbind (RFC 1833)."""

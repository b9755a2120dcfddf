"""nfsloop: an NFSv3 server (RFC 1813) with storage behind `backends.base.Backend`."""

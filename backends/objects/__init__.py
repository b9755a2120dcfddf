"""Any store that fsspec knows, as a file system: S3, GCS, Azure, SFTP, zip, http, memory, local."""

from backends.objects.backend import FsspecBackend

__all__ = ["FsspecBackend"]

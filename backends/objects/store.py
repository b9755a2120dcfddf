"""An fsspec file system as this backend sees it: paths of bytes, whole objects, our own errors.

The only importer of fsspec, which it imports when a backend is made.
"""

from __future__ import annotations

import errno
import importlib
import json
import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import quote, unquote

from backends.base import FileType, FsError, Status

log = logging.getLogger("nfsloop.fsspec")

#: A path from the root, name by name.
Names: TypeAlias = tuple[bytes, ...]

#: Stores that have objects and no directories.
FLAT: Final = frozenset(
    ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "obs", "oci", "cos", "r2", "tos")
)
#: A put to these shows when it is complete, and not at all before.
ATOMIC: Final = FLAT | {"memory"}
#: Their own rename replaces a file atomically, and moves directories whole.
RENAMES: Final = frozenset(("file", "local", "sftp", "ssh"))
#: Ours to rename and to sync ourselves.
_LOCAL: Final = frozenset(("file", "local"))
#: What their file systems take for the version of an object, and so names cannot have in them.
_VERSION_MARKS: Final = {
    "s3": b"?versionId=", "s3a": b"?versionId=",
    "az": b"?versionid=", "abfs": b"?versionid=", "abfss": b"?versionid=",
}  # fmt: skip
READ_ONLY: Final = frozenset(
    ("http", "https", "zip", "tar", "libarchive", "github", "git", "gist", "data", "reference")
)
#: Objects up to this size are put from memory, as they were at one moment.
SNAPSHOT_BYTES: Final = 16 << 20

#: What to install for a protocol, where its name does not say it.
_PACKAGES: Final = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "abfss": "adlfs",
    "az": "adlfs", "http": "aiohttp", "https": "aiohttp", "sftp": "paramiko", "ssh": "paramiko",
    "smb": "smbprotocol", "oss": "ossfs", "github": "requests", "git": "pygit2",
    "webhdfs": "requests", "hdfs": "pyarrow", "libarchive": "libarchive-c",
}  # fmt: skip

#: An upload in progress, or one that was cut off: never listed.
_PART = re.compile(rb"\.nfsloop-[0-9a-f]{16}-\d+\.part\Z")

_VERSIONS: Final = ("ETag", "etag", "md5Hash", "md5", "content_hash", "checksum", "generation")
_TIMES: Final = (
    "mtime", "LastModified", "last_modified", "Last-Modified", "updated", "modified", "date_time",
    "created", "creation_time",
)  # fmt: skip


class Listed(NamedTuple):
    """An object or directory, as the store tells. `size` is -1, `mtime` (ns) 0 if it does not."""

    name: bytes
    type: FileType
    size: int
    mtime: int
    token: str


class Store:
    """The file system behind a URL.

    Methods raise FileNotFoundError for what is not there, else `FsError` or OSError. Raises
    ValueError for a URL that fsspec does not know, ImportError for a package that is missing.
    """

    def __init__(self, url: str, options: dict[str, str]) -> None:
        try:
            self._core: Any = importlib.import_module("fsspec.core")
        except ImportError:
            raise ImportError("fsspec is missing: pip install 'nfsloop[fsspec]'") from None
        if "::" not in url and "://" not in url:
            raise ValueError(f"{url!r} is no URL with a protocol, as fsspec+s3://bucket has")
        self.url = url
        self.protocol = re.split("::|://", url, maxsplit=1)[0]
        registry: Any = importlib.import_module("fsspec.registry")
        try:
            registry.get_filesystem_class(self.protocol)
        except ImportError as error:
            package = _PACKAGES.get(self.protocol)
            hint = f"{package} is missing: pip install {package}" if package else str(error)
            raise ImportError(f"fsspec+{self.protocol}: {hint}") from None
        except ValueError:
            raise ValueError(f"fsspec knows no protocol {self.protocol!r}") from None
        self._options = {name: _option(value) for name, value in options.items()}
        self.read_only = self.protocol in READ_ONLY
        #: Whether it has no directories; None: not known until the first is made.
        self.flat: bool | None = True if self.protocol in FLAT else None
        self._is_http = self.protocol in ("http", "https")
        # Those who read one file of fsspec's memory at the same time share a position in it.
        gated = self.protocol == "memory"
        self._gate: AbstractContextManager[object] = threading.Lock() if gated else nullcontext()
        self._fs: Any = None
        self.root = self._base = ""

    def open(self) -> None:
        """Connect; raises OSError where the root is not there."""
        options: dict[str, Any] = dict(self._options)
        if self.protocol in FLAT:
            # They are dear to make, and keep nothing but a connection then.
            options["use_listings_cache"] = False
        else:
            options["skip_instance_cache"] = True
        with self._errors("opening"):
            self._fs, root = self._core.url_to_fs(self.url, **options)
        self.root = root.rstrip("/")
        # A local root may be "/" itself; that of an archive is nothing at all.
        self._base = self.root + "/" if root else ""
        if self.protocol in FLAT and not self.root:
            raise OSError(errno.EINVAL, f"{self.url} names no bucket")
        try:
            self.list(())
        except FileNotFoundError:
            self._missing_root()

    def _missing_root(self) -> None:
        """An empty prefix is not there, and yet can be served."""
        with self._errors("opening"):
            if self.protocol == "memory":
                self._fs.makedirs(self.root, exist_ok=True)
            elif not (self.protocol in FLAT and self._fs.exists(self.root.split("/")[0])):
                raise OSError(errno.ENOENT, f"{self.url} is not there")

    # Reading

    def list(self, names: Names) -> list[Listed]:
        """What is in a directory. NotADirectoryError for an object."""
        path = self._path(names, directory=True)
        with self._errors("listing"):
            self._fs.invalidate_cache()
            infos = self._fs.ls(path, detail=True)
        found: dict[bytes, Listed] = {}
        for info in infos:
            full = info["name"].rstrip("/")
            if full.strip("/") == path.strip("/"):
                if info["type"] == "file" and not info["name"].endswith("/") and names:
                    raise NotADirectoryError(errno.ENOTDIR, path)
                continue  # an object that marks the directory
            listed = self._listed(info, full.rsplit("/", 1)[-1])
            if listed is None or _PART.match(listed.name):
                continue
            # Where both "a" and "a/b" are objects, what is beneath stays within reach.
            if listed.name not in found or listed.type is FileType.DIR:
                found[listed.name] = listed
        return list(found.values())

    def info(self, names: Names) -> Listed:
        """One object."""
        with self._errors("asking for"):
            self._fs.invalidate_cache()
            info = self._fs.info(self._path(names))
        listed = self._listed(info, "")
        if listed is None:
            raise FileNotFoundError(errno.ENOENT, self._path(names))
        return listed

    def exists(self, names: Names) -> bool:
        """Whether there is an object or directory."""
        try:
            self.info(names)
        except FileNotFoundError:
            return False
        return True

    def read(self, names: Names, offset: int, count: int) -> bytes:
        """Bytes of an object, fewer where it ends."""
        if count <= 0:
            return b""
        with self._errors("reading"), self._gate:
            data: bytes = self._fs.cat_file(self._path(names), start=offset, end=offset + count)
        # A web server may not know ranges.
        return data[offset : offset + count] if len(data) > count else data

    def find(self, names: Names) -> Iterator[Names]:
        """All objects beneath a directory; no directories."""
        path = self._path(names)
        with self._errors("searching"):
            paths = self._fs.find(path)
        above = path.strip("/") + "/"
        for found in paths:
            beneath = found.lstrip("/")
            if beneath.startswith(above):
                yield (*names, *beneath[len(above) :].encode().split(b"/"))

    # Changing

    def put(self, names: Names, source: Path, part: str) -> None:
        """Make an object what the file `source` is; `part` names the upload where it is seen."""
        path = self._path(names)
        with self._errors("putting"):
            if self.protocol in ATOMIC:
                if self.protocol == "memory" or source.stat().st_size <= SNAPSHOT_BYTES:
                    self._fs.pipe_file(path, source.read_bytes())
                else:
                    self._fs.put_file(str(source), path)
                return
            temporary = self._path((*names[:-1], f".nfsloop-{part}.part".encode()))
            try:
                self._fs.put_file(str(source), temporary)
                if self.protocol in _LOCAL:
                    _sync(temporary)
                if self.protocol in RENAMES:
                    self._replace(temporary, path)
                else:
                    self._fs.cp_file(temporary, path)
                    self._fs.rm_file(temporary)
            except Exception:
                with suppress(Exception):
                    self._fs.rm_file(temporary)
                raise

    def _replace(self, old: str, new: str) -> None:
        if self.protocol in _LOCAL:
            # fsspec's would move it into a directory of that name.
            os.replace(old, new)
            _sync(os.path.dirname(new))
        else:
            self._fs.mv(old, new)

    def delete(self, names: Names) -> None:
        """Delete an object; one that is not there, then, is no failure."""
        try:
            with self._errors("deleting"):
                self._fs.rm_file(self._path(names))
        except FileNotFoundError:
            pass
        except (FsError, OSError):
            if self.exists(names):
                raise

    def copy(self, old: Names, new: Names) -> None:
        """Copy an object over another, or none."""
        with self._errors("copying"):
            self._fs.cp_file(self._path(old), self._path(new))

    def move(self, old: Names, new: Names) -> None:
        """The store's own rename, for `RENAMES`."""
        with self._errors("renaming"):
            self._replace(self._path(old), self._path(new))

    def mkdir(self, names: Names) -> None:
        """Make a directory; nothing where the store is found to have none."""
        if self.flat:
            return
        path = self._path(names)
        with self._errors("making"):
            self._fs.mkdir(path, create_parents=False)
            if self.protocol in _LOCAL:
                _sync(os.path.dirname(path))
            if self.flat is None:
                self.flat = not self._fs.isdir(path)

    def rmdir(self, names: Names) -> None:
        """Remove an empty directory; one that is not there is no failure."""
        try:
            with self._errors("removing"):
                path = self._path(names)
                try:
                    self._fs.rmdir(path)
                except FileNotFoundError:
                    raise
                except Exception:
                    if not self._delete_parts(path):
                        raise
                    self._fs.rmdir(path)
        except FileNotFoundError:
            pass

    def _delete_parts(self, path: str) -> int:
        """Uploads that were cut off keep a directory from being removed, and nobody sees them."""
        self._fs.invalidate_cache()
        names = [name.rstrip("/") for name in self._fs.ls(path, detail=False)]
        parts = [
            name
            for name in names
            if _PART.match(name.rsplit("/", 1)[-1].encode("utf-8", "replace"))
        ]
        for name in parts:
            self._fs.rm_file(name)
        return len(parts)

    # Helpers

    def _path(self, names: Names, directory: bool = False) -> str:
        parts = [name.decode() for name in names]
        if not self._is_http:
            return self._base + "/".join(parts)
        path = self._base + "/".join(map(quote, parts))
        return path + "/" if directory and parts else path

    def _listed(self, info: dict[str, Any], text: str) -> Listed | None:
        """None for what cannot be served: a link, a device, a name that is no name."""
        if self._is_http:
            if "?" in text or "#" in text:
                return None  # a page's links to itself, sorted otherwise
            text = unquote(text)
        try:
            name = text.encode()
        except UnicodeEncodeError:
            return None
        if name in (b".", b"..") or b"\0" in name or b"/" in name or len(name) > 255:
            return None
        if self._is_version(name):
            return None
        if info["type"] == "directory":
            return Listed(name, FileType.DIR, 0, 0, "")
        if info["type"] != "file":
            return None
        size = info.get("size")
        mtime = _time(info)
        return Listed(name, FileType.REG, -1 if size is None else size, mtime, _token(info, mtime))

    def checked(self, name: bytes) -> bytes:
        """A name to be made. Raises INVAL for no UTF-8 and for what the store takes for a version.

        Raises ACCES for what is kept for uploads.
        """
        try:
            name.decode()
        except UnicodeDecodeError:
            raise FsError(Status.INVAL, "names must be UTF-8 in this store") from None
        if self._is_version(name):
            raise FsError(Status.INVAL, "this store takes such a name for another's version")
        if name.startswith(b".nfsloop-"):
            raise FsError(Status.ACCES, "a name of unfinished uploads")
        return name

    def _is_version(self, name: bytes) -> bool:
        mark = _VERSION_MARKS.get(self.protocol)
        return mark is not None and mark in name

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """The libraries' errors as ours; FileNotFoundError stays, for the caller to judge."""
        try:
            yield
        except (FsError, FileNotFoundError):
            raise
        except Exception as error:
            raise self._translated(doing, error) from error

    def _translated(self, doing: str, error: Exception) -> Exception:
        what = f"{doing} in {self.protocol}: {type(error).__name__}: {error}"
        status = next((status for kind, status in _STATUSES if isinstance(error, kind)), None)
        if status is None:
            if isinstance(error, OSError) and error.errno in _PASSED:
                return OSError(error.errno, what)
            kinds = " ".join(kind.__name__ for kind in type(error).__mro__)
            transient = any(word in kinds for word in _TRANSIENT) or (
                isinstance(error, OSError) and error.errno in _BUSY
            )
            status = Status.JUKEBOX if transient else Status.IO
        if status in (Status.JUKEBOX, Status.IO):
            log.warning("%s", what)
        return FsError(status, what)


#: The first that fits; timeouts and broken connections are worth another try.
_STATUSES: Final[tuple[tuple[type[Exception], Status], ...]] = (
    (PermissionError, Status.ACCES),
    (FileExistsError, Status.EXIST),
    (IsADirectoryError, Status.ISDIR),
    (NotADirectoryError, Status.NOTDIR),
    (TimeoutError, Status.JUKEBOX),
    (ConnectionError, Status.JUKEBOX),
    (NotImplementedError, Status.NOTSUPP),
)
_PASSED: Final = frozenset(
    (
        errno.ENOSPC, errno.EDQUOT, errno.ENOTEMPTY, errno.EROFS, errno.ENAMETOOLONG, errno.EFBIG,
        errno.EXDEV,
    )
)  # fmt: skip
#: As s3fs says that the server is overloaded, or failed.
_BUSY: Final = frozenset((errno.EBUSY, errno.EAGAIN, errno.EREMOTEIO))
_TRANSIENT: Final = ("Timeout", "Connect", "Disconnected", "Throttl")


def _sync(path: str) -> None:
    """Have a local file, or the names in a directory, on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _option(value: str) -> Any:
    """An option of the URL for fsspec: true, false, JSON where it begins so, else text."""
    if value in ("true", "false"):
        return value == "true"
    if value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f"{value!r} is no JSON: {error}") from None
    return value


def _token(info: dict[str, Any], mtime: int) -> str:
    """What is another when the contents are; it begins with what it is made of."""
    for name in _VERSIONS:
        if info.get(name):
            return f"{name.lower()}:{info[name]}:{info.get('size')}"
    return f"time:{mtime}:{info.get('size')}:{info.get('ino', '')}" if mtime else ""


def _time(info: dict[str, Any]) -> int:
    """When an object was modified last, in nanoseconds since 1970; 0 if it is not told."""
    for name in _TIMES:
        value = info.get(name)
        try:
            if isinstance(value, tuple):
                value = datetime(*value)
            if isinstance(value, str):
                value = _parsed(value)
            if isinstance(value, datetime):
                value = value.timestamp()
            if isinstance(value, int | float) and value > 0:
                return int(value * 10**9)
        except (ValueError, TypeError, OverflowError):
            continue
    return 0


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return parsedate_to_datetime(text)

"""A small S3 for tests: what s3fs asks of one, over http.server, with faults to be planted.

Objects are in memory, by bucket and key. Multipart uploads show when they are complete.
"""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

#: Keys in one answer of a listing: fewer than Amazon's, so that tests see several.
PAGE_KEYS = 100


class Objects:
    """What the server holds."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.data: dict[str, bytes] = {}
        self.modified: dict[str, float] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.calls: list[str] = []
        #: Called with (method, key) before each request; may wait, or give an HTTP status.
        self.fault: Callable[[str, str], int | None] = lambda method, key: None

    def put(self, key: str, data: bytes) -> str:
        with self.lock:
            self.data[key] = data
            self.modified[key] = time.time()
        return self.etag(key)

    def etag(self, key: str) -> str:
        return '"' + hashlib.md5(self.data[key]).hexdigest() + '"'


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one segment: apart, the second waits for an acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True
    objects: Objects

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def handle_expect_100(self) -> bool:
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _error(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code></Error>".encode())

    def _body(self) -> bytes:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "aws-chunked" not in (self.headers.get("Content-Encoding") or ""):
            return raw
        data, at = b"", 0
        while True:
            end = raw.index(b"\r\n", at)
            size = int(raw[at:end].split(b";")[0], 16)
            if size == 0:
                return data
            data += raw[end + 2 : end + 2 + size]
            at = end + 2 + size + 2

    def _do(self) -> None:
        parts = urlsplit(self.path)
        self.query = {k: v[0] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
        key = unquote(parts.path.lstrip("/"))
        body = self._body()
        self.objects.calls.append(f"{self.command} {key}")
        status = self.objects.fault(self.command, key)
        if status is not None:
            codes = {403: "AccessDenied", 503: "SlowDown"}
            self._error(status, codes.get(status, "InternalError"))
        elif "/" not in key.rstrip("/"):
            self._bucket(key.rstrip("/"), body)
        else:
            getattr(self, "_" + self.command.lower())(key, body)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _do

    def _bucket(self, bucket: str, body: bytes) -> None:
        if bucket != "bucket":
            self._error(404, "NoSuchBucket")
        elif self.command == "GET" and "location" not in self.query:
            self._answer(200, self._list(bucket), Content_Type="application/xml")
        else:
            self._answer(200)

    def _list(self, bucket: str) -> bytes:
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter", "")
        after = self.query.get("continuation-token", "")
        most = min(PAGE_KEYS, int(self.query.get("max-keys", PAGE_KEYS)))
        found: dict[str, str] = {}
        with self.objects.lock:
            keys = sorted(key[len(bucket) + 1 :] for key in self.objects.data)
        for key in keys:
            if not key.startswith(prefix):
                continue
            rest = key[len(prefix) :]
            cut = rest.find(delimiter) if delimiter else -1
            shown = key if cut < 0 else prefix + rest[: cut + 1]
            if shown > after:
                found.setdefault(shown, "prefix" if cut >= 0 else "key")
        page, rest_of = list(found.items())[:most], len(found) > most
        lines = [self._line(bucket, shown, kind) for shown, kind in page]
        last = escape(page[-1][0]) if page else ""
        token = f"<NextContinuationToken>{last}</NextContinuationToken>"
        return (
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<KeyCount>{len(page)}</KeyCount>"
            f"<IsTruncated>{str(rest_of).lower()}</IsTruncated>{token if rest_of else ''}"
            f"{''.join(line for line in lines if line)}<EncodingType>url</EncodingType>"
            "</ListBucketResult>"
        ).encode()

    def _line(self, bucket: str, key: str, kind: str) -> str:
        shown = escape(quote(key))
        if kind == "prefix":
            return f"<CommonPrefixes><Prefix>{shown}</Prefix></CommonPrefixes>"
        full = f"{bucket}/{key}"
        with self.objects.lock:
            if full not in self.objects.data:
                return ""
            when = time.gmtime(self.objects.modified[full])
            return (
                f"<Contents><Key>{shown}</Key><Size>{len(self.objects.data[full])}</Size>"
                f"<ETag>{escape(self.objects.etag(full))}</ETag>"
                f"<LastModified>{time.strftime('%Y-%m-%dT%H:%M:%S.000Z', when)}</LastModified>"
                "</Contents>"
            )

    def _head(self, key: str, body: bytes) -> None:
        self._get(key, body)

    def _get(self, key: str, body: bytes) -> None:
        with self.objects.lock:
            data = self.objects.data.get(key)
            if data is None:
                return self._error(404, "NoSuchKey" if self.command == "GET" else "404")
            etag, when = self.objects.etag(key), self.objects.modified[key]
        status, headers = 200, {}
        wanted = self.headers.get("Range")
        if wanted:
            first, last = wanted.removeprefix("bytes=").split("-")
            start, end = int(first), min(int(last or len(data)), len(data) - 1)
            if start >= len(data):
                return self._error(416, "InvalidRange")
            headers["Content_Range"] = f"bytes {start}-{end}/{len(data)}"
            status, data = 206, data[start : end + 1]
        headers["Content_Length"] = str(len(data))
        return self._answer(
            status, data, ETag=etag, Last_Modified=formatdate(when, usegmt=True), **headers
        )

    def _put(self, key: str, body: bytes) -> None:
        source = self.headers.get("x-amz-copy-source")
        if source is not None:
            with self.objects.lock:
                copied = self.objects.data.get(unquote(source).lstrip("/"))
            if copied is None:
                return self._error(404, "NoSuchKey")
            etag = self.objects.put(key, copied)
            answer = f"<CopyObjectResult><ETag>{escape(etag)}</ETag></CopyObjectResult>"
            return self._answer(200, answer.encode())
        if "partNumber" in self.query:
            parts = self.objects.uploads.get(self.query["uploadId"])
            if parts is None:
                return self._error(404, "NoSuchUpload")
            parts[int(self.query["partNumber"])] = body
            return self._answer(200, ETag='"' + hashlib.md5(body).hexdigest() + '"')
        return self._answer(200, ETag=self.objects.put(key, body))

    def _post(self, key: str, body: bytes) -> None:
        if "uploads" in self.query:
            ident = f"upload-{len(self.objects.uploads)}"
            self.objects.uploads[ident] = {}
            return self._answer(
                200,
                f"<InitiateMultipartUploadResult><UploadId>{ident}</UploadId>"
                "</InitiateMultipartUploadResult>".encode(),
            )
        parts = self.objects.uploads.pop(self.query["uploadId"])
        etag = self.objects.put(key, b"".join(data for _, data in sorted(parts.items())))
        return self._answer(
            200,
            f"<CompleteMultipartUploadResult><ETag>{escape(etag)}</ETag>"
            "</CompleteMultipartUploadResult>".encode(),
        )

    def _delete(self, key: str, body: bytes) -> None:
        if "uploadId" in self.query:
            self.objects.uploads.pop(self.query["uploadId"], None)
        else:
            with self.objects.lock:
                self.objects.data.pop(key, None)
        self._answer(204)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def serving(host: str = "127.0.0.1", port: int = 0) -> Iterator[tuple[str, Objects]]:
    """A server with one empty bucket, called bucket: its URL, and what it holds."""
    objects = Objects()
    handler = type("Bound", (Handler,), {"objects": objects})
    server = Server((host, port), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", objects
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":  # a process of its own, until it is killed
    with serving(sys.argv[1], int(sys.argv[2])):
        threading.Event().wait()

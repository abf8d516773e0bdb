"""Object stores: a URI opened with limits to its patience, and what the errors mean."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from sweep.errors import SpecError

__all__ = ["open_uri", "reason", "without_password"]

# What a store is called in Arrow, by the scheme of its URI. Not HDFS: a file shows there while it
# is written, a rename does not replace, and we have none to test with.
_STORES = {"s3": "s3", "gs": "gcs", "gcs": "gcs", "abfs": "abfs", "abfss": "abfs", "file": "local"}


def without_password(uri: str) -> str:
    """Return a URI as messages may have it."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1@", uri)


def open_uri(uri: str) -> tuple[pafs.FileSystem, str]:
    """Return the filesystem of a URI and the path in it.

    Raises
    ------
    SpecError
        The URI cannot be read, or its scheme is not known.
    """
    name, scheme = without_password(uri), uri.partition("://")[0].lower()
    if scheme not in _STORES:
        known = "://, ".join(_STORES)
        raise SpecError(f"{name}: unknown scheme {scheme!r}; known: {known}:// and plain paths")
    try:
        found = _s3(uri) if scheme == "s3" else pafs.FileSystem.from_uri(_patient(uri))
    except (OSError, pa.ArrowException, ValueError, TypeError) as error:
        raise SpecError(f"{name}: {reason(error, _STORES[scheme])}") from None
    filesystem, path = found
    if not path.strip("/"):
        raise SpecError(f"{name}: names no bucket or folder")
    return filesystem, path.rstrip("/")


def _s3(uri: str) -> tuple[pafs.FileSystem, str]:
    """Open S3 as Arrow does from a URI, but with limits: its own let a silent host take 39 s.

    All options of pyarrow.fs.S3FileSystem may stand in the query.
    """
    parts = urlsplit(uri)
    login, _, bucket = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    options: dict[str, Any] = {
        "allow_delayed_open": True,  # a file up to 10 MB in one request, not three
        "connect_timeout": 3,
        "request_timeout": 4,
        "retry_strategy": pafs.AwsStandardS3RetryStrategy(max_attempts=3),
    }
    if user:
        options |= {"access_key": unquote(user), "secret_key": unquote(password)}
    options |= {
        key: {"true": True, "false": False}.get(value, value)
        for key, value in parse_qsl(parts.query)
    }
    elsewhere = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if elsewhere:
        options.setdefault("endpoint_override", elsewhere)
    if bucket and not options.keys() & {"region", "endpoint_override"}:
        options["region"] = pafs.resolve_s3_region(bucket)
    return pafs.S3FileSystem(**options), unquote(f"{bucket}{parts.path}")


def _patient(uri: str) -> str:
    """Return a URI of Google's with a limit to its retries: its own is 15 minutes."""
    if not uri.startswith("g") or "retry_limit_seconds" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}retry_limit_seconds=10"


# What a message of Arrow's holds, what it means, and what to do.
_ADVICE = {
    r"unexpected keyword": "unknown option; known: those of pyarrow.fs.S3FileSystem",
    r"NO_SUCH_BUCKET|NOT_FOUND|ContainerNotFound": "there is no such bucket; make it first",
    r"ACCESS_DENIED|ACCESS_KEY|CLIENT_TOKEN|SIGNATURE|EXPIRED|HTTP status 40[13]|redential|OAuth": (
        "the credentials are missing or were refused; {}"
    ),
    r"NETWORK_CONNECTION|curl|CURL": "cannot be reached; check the address and the network",
}
_CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gcs": "set GOOGLE_APPLICATION_CREDENTIALS",
    "abfs": "log in with `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET",
}


def reason(error: Exception, store: str) -> str:
    """Say in one line what Arrow says in many, with what to do if that is known."""
    text = str(error).strip().split("\n")[0]
    detail = re.sub(r"^.*?AWS Error |; Details: .*| \(Request ID.*|\.$", "", text)
    detail = detail if len(detail) <= 160 else detail[:157] + "..."
    for pattern, advice in _ADVICE.items():
        if re.search(pattern, text):
            return f"{advice.format(_CREDENTIALS.get(store, ''))} ({detail})"
    return detail

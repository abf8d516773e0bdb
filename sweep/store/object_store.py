"""Object stores: a URI opened with time limits, and what Arrow's errors mean."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from sweep.errors import SpecError, printable, short

__all__ = ["STORES", "open_uri", "reason", "secrets_of", "without_secrets"]

# What a store is called in Arrow, by the scheme of its URI. Not HDFS: a file shows there while it
# is written, a rename does not replace, and we have none to test with.
STORES = {"s3": "s3", "gs": "gcs", "gcs": "gcs", "abfs": "abfs", "abfss": "abfs", "file": "local"}


# A secret may hold slashes: it ends at the last @.
_LOGIN = re.compile(r"^(\w+:/+)([^/?:@]*):(.*)@")
_OPTION = re.compile(r"([?&;])([^=&;]*)=([^&;]*)")
# Options whose values may be shown; any other may be a key, a token, or one's new name.
_HARMLESS = {
    "allow_bucket_creation",
    "allow_bucket_deletion",
    "anonymous",
    "background_writes",
    "connect_timeout",
    "default_bucket_location",
    "endpoint",
    "endpoint_override",
    "force_virtual_addressing",
    "project_id",
    "region",
    "request_timeout",
    "retry_limit_seconds",
    "scheme",
}


def _is_secret(option: re.Match[str]) -> bool:
    return option[2].lower() not in _HARMLESS or "@" in unquote(option[3])


def secrets_of(uri: str) -> list[str]:
    """Return the secrets in a URI, as written there and unquoted."""
    login = _LOGIN.match(uri)
    secrets = [login[3]] if login else []
    secrets += [option[3] for option in _OPTION.finditer(uri) if _is_secret(option)]
    return [form for secret in secrets if secret for form in {secret, unquote(secret)}]


def without_secrets(uri: str) -> str:
    """Return a URI as messages may have it, on one line."""
    uri = _LOGIN.sub(r"\1\2@", uri)
    shown = _OPTION.sub(lambda o: f"{o[1]}{o[2]}=***" if _is_secret(o) else o[0], uri)
    return printable(shown)


def open_uri(uri: str) -> tuple[pafs.FileSystem, str]:
    """Return the filesystem of a URI and the path in it.

    Raises
    ------
    SpecError
        The URI cannot be read, or its scheme is not known.
    """
    name, scheme = without_secrets(uri), uri.partition("://")[0].lower()
    if scheme not in STORES:
        known = "://, ".join(STORES)
        raise SpecError(
            f"{name}: unknown scheme {short(scheme)}; known: {known}:// and plain paths"
        )
    try:
        filesystem, path = (
            _s3(uri) if scheme == "s3" else pafs.FileSystem.from_uri(_with_retry_limit(uri))
        )
    except (OSError, pa.ArrowException, ValueError, TypeError) as error:
        message = reason(error, STORES[scheme])
        for secret in secrets_of(uri):  # Arrow quotes what it was given
            message = message.replace(secret, "***")
        raise SpecError(f"{name}: {message}") from None
    if not path.strip("/"):
        raise SpecError(f"{name}: names no bucket or folder")
    return filesystem, path.rstrip("/")


def _s3(uri: str) -> tuple[pafs.FileSystem, str]:
    """Open S3 as Arrow does from a URI, but with time limits: its own let a silent host take 39 s.

    All options of pyarrow.fs.S3FileSystem may be given in the query.
    """
    login = _LOGIN.match(uri)
    parts = urlsplit(f"s3://{uri[login.end() :]}" if login else uri)
    user, _, bucket = parts.netloc.rpartition("@")
    user, password = (login[2], login[3]) if login else (user, "")
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
    for key in options.keys() & {"connect_timeout", "request_timeout"}:
        options[key] = float(options[key])
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        options.setdefault("endpoint_override", endpoint)
    if bucket and not options.keys() & {"region", "endpoint_override"}:
        options["region"] = pafs.resolve_s3_region(bucket)
    return pafs.S3FileSystem(**options), unquote(f"{bucket}{parts.path}")


def _with_retry_limit(uri: str) -> str:
    """Return a URI of Google's with a limit to its retries: its own is 15 minutes."""
    if not uri.startswith("g") or "retry_limit_seconds" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}retry_limit_seconds=10"


# Patterns in Arrow's messages, what they mean, and what to do.
_ADVICE = {
    r"unexpected keyword": "unknown option; known: those of pyarrow.fs.S3FileSystem",
    r"NO_SUCH_BUCKET|NOT_FOUND|ContainerNotFound": "there is no such bucket; make it first",
    r"ACCESS_DENIED|ACCESS_KEY|CLIENT_TOKEN|SIGNATURE|EXPIRED|HTTP status 40[13]|redential|OAuth": (
        "the credentials are missing or were refused; {}"
    ),
    r"SLOW_DOWN|UNAVAILABLE|THROTTL|HTTP status 5": (
        "the store is overloaded or failing; try again later"
    ),
    r"NETWORK_CONNECTION|curl|CURL": "cannot be reached; check the address and the network",
}
_CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gcs": "set GOOGLE_APPLICATION_CREDENTIALS",
    "abfs": "log in with `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET",
}


def reason(error: Exception, store: str) -> str:
    """Return Arrow's message in one line, with what to do if that is known."""
    text = printable(str(error).strip().split("\n")[0])
    detail = re.sub(r"^.*?AWS Error |; Details: .*| \(Request ID.*|\.$", "", text)
    detail = detail if len(detail) <= 160 else detail[:157] + "..."
    for pattern, advice in _ADVICE.items():
        if re.search(pattern, text):
            return f"{advice.format(_CREDENTIALS.get(store, ''))} ({detail})"
    return detail

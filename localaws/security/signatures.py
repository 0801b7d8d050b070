"""AWS's request signatures, recomputed with botocore's signers.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import base64
import datetime
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from botocore.auth import HmacV1Auth, SigV4Auth
from botocore.awsrequest import AWSRequest, HTTPHeaders
from botocore.credentials import Credentials as BotocoreCredentials

from localaws.security.credentials import Credentials

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING = "STREAMING-"
STREAMING_UNSIGNED = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
# How far a request's time may be from this machine's, and how long a presigned URL may be valid.
SKEW_SECONDS = 15 * 60
PRESIGNED_SECONDS = 7 * 24 * 3600


class Refused(Exception):
    """A request without valid credentials. code: AWS's error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Request:
    """A request as it arrived.

    path, query: as sent, percent-encoded. headers: lower-case names, joined values. bucket: of a virtual host's name.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    bucket: str = ""

    def parameters(self) -> dict[str, str]:
        """The query's parameters, decoded."""
        return dict(parse_qsl(self.query, keep_blank_values=True))


@dataclass(frozen=True)
class Signature:
    """A request's signature and its scope, for either version of the signing process.

    time: YYYYMMDDTHHMMSSZ. seconds: how long a presigned URL is valid; None for a signed header.
    """

    version: int
    access_key_id: str
    token: str
    value: str
    time: str = ""
    region: str = ""
    service: str = "s3"
    date: str = ""
    signed_headers: tuple[str, ...] = ()
    seconds: int | None = None

    @property
    def presigned(self) -> bool:
        return self.seconds is not None


def parse(request: Request) -> Signature:
    """The signature of a request, in its Authorization header or its query. Refused when there is none."""
    authorization, parameters = request.headers.get("authorization", ""), request.parameters()
    try:
        if authorization.startswith(f"{ALGORITHM} "):
            return _parse_header(request, authorization)
        if parameters.get("X-Amz-Algorithm") == ALGORITHM:
            return _parse_query(parameters)
        if authorization.startswith("AWS "):
            key, _, value = authorization.removeprefix("AWS ").partition(":")
            return Signature(2, key, request.headers.get("x-amz-security-token", ""), value)
        if {"AWSAccessKeyId", "Signature", "Expires"} <= parameters.keys():
            seconds = int(parameters["Expires"])
            token = parameters.get("x-amz-security-token", "")
            return Signature(2, parameters["AWSAccessKeyId"], token, parameters["Signature"], seconds=seconds)
    except (KeyError, ValueError) as error:
        raise Refused("IncompleteSignature", f"The request's signature is incomplete: {error}.") from error
    raise Refused("MissingAuthenticationToken", "The request is not signed.")


def _parse_header(request: Request, authorization: str) -> Signature:
    fields = dict(each.strip().partition("=")[::2] for each in authorization.split(" ", 1)[1].split(","))
    time_ = request.headers.get("x-amz-date") or _basic_format(request.headers["date"])
    return _scoped(
        fields["Credential"],
        fields["SignedHeaders"],
        token=request.headers.get("x-amz-security-token", ""),
        value=fields["Signature"],
        time=time_,
    )


def _parse_query(parameters: dict[str, str]) -> Signature:
    return _scoped(
        parameters["X-Amz-Credential"],
        parameters["X-Amz-SignedHeaders"],
        token=parameters.get("X-Amz-Security-Token", ""),
        value=parameters["X-Amz-Signature"],
        time=parameters["X-Amz-Date"],
        seconds=int(parameters.get("X-Amz-Expires", SKEW_SECONDS)),
    )


def _scoped(credential: str, signed_headers: str, **fields: Any) -> Signature:
    key, date, region, service, _ = credential.rsplit("/", 4)
    names = tuple(signed_headers.lower().split(";"))
    return Signature(4, key, date=date, region=region, service=service, signed_headers=names, **fields)


def _basic_format(date: str) -> str:
    return parsedate_to_datetime(date).astimezone(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")


def check_time(signature: Signature, now: float) -> None:
    """Refuse a request that was signed too long ago, or in the future, or an expired presigned URL."""
    if signature.version == 2:
        if signature.seconds is not None and signature.seconds < now:
            raise Refused("RequestExpired", "Request has expired")
        return
    try:
        signed = datetime.datetime.strptime(signature.time, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC).timestamp()
    except ValueError as error:
        raise Refused("IncompleteSignature", f"The request's time {signature.time} is not valid.") from error
    if signature.seconds is not None:
        if not 0 < signature.seconds <= PRESIGNED_SECONDS or signed + signature.seconds < now:
            raise Refused("RequestExpired", "Request has expired")
    elif signed < now - SKEW_SECONDS:
        raise Refused("RequestTimeTooSkewed", f"Signature expired: {signature.time} is more than 15 minutes ago.")
    if signed > now + SKEW_SECONDS:
        raise Refused("RequestTimeTooSkewed", f"Signature not yet current: {signature.time} is in the future.")


def declared_hash(request: Request, signature: Signature) -> str | None:
    """The hash of the body that a request declares; None when only the body itself gives it."""
    if signature.version == 2:
        return UNSIGNED
    declared = request.headers.get("x-amz-content-sha256") or request.parameters().get("X-Amz-Content-Sha256")
    return declared or (UNSIGNED if signature.presigned and signature.service == "s3" else None)


def verify(request: Request, signature: Signature, key: Credentials, body_hash: str) -> None:
    """Refuse a request unless `key` made its signature. body_hash: hexadecimal SHA-256, or the declared marker."""
    if signature.version == 2:
        expected = _version_2(request, signature, key)
    else:
        if signature.date != signature.time[:8]:
            raise Refused("CredentialDateMismatch", "The credential's date is not the request's.")
        _refuse_unsigned_headers(request, signature)
        expected = _Signer(signature, key).expected(request, body_hash)
    if not hmac.compare_digest(expected.encode(), signature.value.encode()):
        raise Refused("SignatureDoesNotMatch", "The request signature does not match the workspace's secret key.")


def _refuse_unsigned_headers(request: Request, signature: Signature) -> None:
    """The host and what chooses the operation must be signed; a presigned URL could be used for another one."""
    unsigned = {"host"} | ({"x-amz-target"} & request.headers.keys())
    if unsigned - set(signature.signed_headers):
        raise Refused("IncompleteSignature", f"Headers must be signed: {', '.join(sorted(unsigned))}.")


class _Signer(SigV4Auth):  # type: ignore[misc]
    """botocore's signer, with the request's own choice of signed headers and its query read as AWS reads it."""

    def __init__(self, signature: Signature, key: Credentials) -> None:
        super().__init__(_botocore(key), signature.service, signature.region)
        self.signed_by = signature

    def expected(self, request: Request, body_hash: str) -> str:
        """The signature of a request."""
        made = AWSRequest(request.method, f"http://host{request.path}?{request.query}", dict(request.headers))
        made.context["timestamp"] = self.signed_by.time
        del made.headers["X-Amz-Content-SHA256"]
        made.headers["X-Amz-Content-SHA256"] = body_hash
        return str(self.signature(self.string_to_sign(made, self.canonical_request(made)), made))

    def of_text(self, text: str) -> str:
        """The signature of a text: of a chunk's description, or of an upload form's policy."""
        made = AWSRequest()
        made.context["timestamp"] = self.signed_by.time or self.signed_by.date
        return str(self.signature(text, made))

    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
        headers = HTTPHeaders()
        for name in self.signed_by.signed_headers:
            headers[name] = request.headers.get(name, "")
        return headers

    def canonical_query_string(self, request: AWSRequest) -> str:
        pairs = (each.partition("=")[::2] for each in urlsplit(request.url).query.split("&") if each)
        encoded = sorted(tuple(quote(unquote(text), safe="-_.~") for text in pair) for pair in pairs)
        return "&".join(f"{name}={value}" for name, value in encoded if name != "X-Amz-Signature")

    def _normalize_url_path(self, path: str) -> str:
        # S3 alone takes the path as it is sent.
        return path if self.signed_by.service == "s3" else str(super()._normalize_url_path(path))


def verify_chunks(body: bytes, signature: Signature, key: Credentials) -> None:
    """Refuse a body of signed chunks unless each chunk's signature follows from the one before.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
    """
    signer, previous, position = _Signer(signature, key), signature.value, 0
    scope = f"{signature.date}/{signature.region}/{signature.service}/aws4_request"
    empty = hashlib.sha256(b"").hexdigest()
    size = -1
    while size != 0:
        head, separator, _ = body[position : position + 200].partition(b"\r\n")
        length, _, given = head.decode(errors="replace").partition(";chunk-signature=")
        try:
            size = int(length, 16)
        except ValueError:
            separator = b""
        if not separator:
            raise Refused("SignatureDoesNotMatch", "The body's chunks are malformed.")
        start = position + len(head) + 2
        digest = hashlib.sha256(body[start : start + size]).hexdigest()
        text = "\n".join([f"{ALGORITHM}-PAYLOAD", signature.time, scope, previous, empty, digest])
        previous = signer.of_text(text)
        if not hmac.compare_digest(previous.encode(), given.strip().encode()):
            raise Refused("SignatureDoesNotMatch", "A chunk's signature does not match the workspace's secret key.")
        position = start + size + 2


class _SignerOfVersion2(HmacV1Auth):  # type: ignore[misc]
    """botocore's signer of the older version, for the request's own date."""

    def __init__(self, key: Credentials, date: str) -> None:
        super().__init__(_botocore(key))
        self.date = date

    def _get_date(self) -> str:
        return self.date


def _version_2(request: Request, signature: Signature, key: Credentials) -> str:
    """boto3 makes presigned URLs of S3 this way unless `s3v4` is configured."""
    headers = HTTPHeaders()
    for name, value in request.headers.items():
        headers[name] = value
    if signature.presigned:
        # A presigned URL carries the headers that it signs in its query.
        for name, value in request.parameters().items():
            if name.lower().startswith("x-amz-") or name.lower() in ("content-type", "content-md5"):
                del headers[name]
                headers[name] = value
    date = str(signature.seconds) if signature.presigned else request.headers.get("date", "")
    resource = f"/{request.bucket}{request.path}" if request.bucket else request.path
    split = urlsplit(f"http://host{request.path}?{request.query}")
    return str(_SignerOfVersion2(key, date).get_signature(request.method, split, headers, auth_path=resource))


def _botocore(key: Credentials) -> BotocoreCredentials:
    return BotocoreCredentials(key.access_key_id, key.secret_access_key, key.session_token)


def of_form(fields: Mapping[str, str]) -> Signature:
    """The signature of an upload form (a presigned POST of S3), which signs the form's policy."""
    try:
        if "x-amz-credential" in fields:
            return _scoped(
                fields["x-amz-credential"],
                "",
                token=fields.get("x-amz-security-token", ""),
                value=fields["x-amz-signature"],
                time=fields["x-amz-date"],
            )
        return Signature(2, fields["awsaccesskeyid"], fields.get("x-amz-security-token", ""), fields["signature"])
    except (KeyError, ValueError) as error:
        raise Refused("MissingAuthenticationToken", "The form is not signed.") from error


def verify_form(policy: str, signature: Signature, key: Credentials, now: float) -> None:
    """Refuse an upload form unless `key` signed its policy, and the policy has not expired."""
    if signature.version == 4:
        expected = _Signer(signature, key).of_text(policy)
    else:
        expected = _SignerOfVersion2(key, "").sign_string(policy)
    if not hmac.compare_digest(expected.encode(), signature.value.encode()):
        raise Refused("SignatureDoesNotMatch", "The form's signature does not match the workspace's secret key.")
    try:
        expires = datetime.datetime.fromisoformat(json.loads(base64.b64decode(policy))["expiration"]).timestamp()
    except (ValueError, KeyError, TypeError) as error:
        raise Refused("IncompleteSignature", "The form's policy is not valid.") from error
    if expires < now:
        raise Refused("RequestExpired", "Invalid according to Policy: Policy expired.")

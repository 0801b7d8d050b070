"""Keys, sessions and signatures: which are accepted, and the words for those that are not."""

import datetime
import hashlib
import http.client
import urllib.parse
import urllib.request
from collections.abc import Iterator

import botocore.exceptions
import pytest
from botocore import auth
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials as BotocoreCredentials

from localaws import clients
from localaws.endpoint import DEVELOPER, Endpoint
from localaws.security import sessions, signatures
from localaws.security.credentials import Credentials
from pipelines.account.clients import Clients
from tests.support.signed import answer, port, signed


def code(endpoint: Endpoint, key: Credentials, service: str = "s3", call: str = "list_buckets") -> str:
    """The error code of a call with these credentials; empty when it succeeds."""
    try:
        getattr(clients.client(endpoint.url, service, key, attempts=1), call)()
    except botocore.exceptions.ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


UNKNOWN, MISMATCH, EXPIRED = "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException"

CALLS = {
    "s3": ("list_buckets", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"),
    "sts": ("get_caller_identity", "InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken"),
    "lambda": ("list_functions", UNKNOWN, MISMATCH, EXPIRED),
    "sagemaker": (
        "list_pipelines",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "ExpiredTokenException",
    ),
    "cloudwatch": ("list_metrics", "InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken"),
    "stepfunctions": ("list_state_machines", UNKNOWN, MISMATCH, EXPIRED),
}


@pytest.mark.parametrize("service", CALLS)
def test_a_service_refuses_wrong_keys_in_its_own_words(endpoint: Endpoint, service: str) -> None:
    call, unknown, mismatch, expired = CALLS[service]
    key = endpoint.credentials
    other = Credentials("AKIAAAAAAAAAAAAAAAAA", key.secret_access_key)
    past = sessions.mint(key, DEVELOPER, "past", seconds=-1)
    forged = sessions.mint(Credentials(key.access_key_id, "another secret"), DEVELOPER, "forged")
    stolen = sessions.mint(key, DEVELOPER, "stolen")
    tried = {
        "the workspace's key": key,
        "a session": stolen,
        "test": Credentials("test", "test"),
        "an account id": Credentials("000000000000", key.secret_access_key),
        "an unknown key": other,
        "a wrong secret": Credentials(key.access_key_id, "wrong"),
        "an expired session": past,
        "a session of another workspace": forged,
        "a session without its token": Credentials(stolen.access_key_id, stolen.secret_access_key),
        "a session with a wrong secret": Credentials(stolen.access_key_id, "wrong", stolen.session_token),
    }
    assert {name: code(endpoint, each, service, call) for name, each in tried.items()} == {
        "the workspace's key": "",
        "a session": "",
        "test": unknown,
        "an account id": unknown,
        "an unknown key": unknown,
        "a wrong secret": mismatch,
        "an expired session": expired,
        "a session of another workspace": unknown,
        "a session without its token": unknown,
        "a session with a wrong secret": mismatch,
    }


def test_the_error_for_a_wrong_key_has_the_line_to_paste(endpoint: Endpoint) -> None:
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        clients.client(endpoint.url, "s3", Credentials("test", "test")).list_buckets()
    root = endpoint.workspace.root
    assert refused.value.response["Error"]["Message"] == (
        f'The access key test is not one of this workspace. Paste: eval "$(python -m localaws env --workspace {root})"'
    )


def test_sessions_that_assume_role_mints_are_accepted(endpoint: Endpoint, clients: Clients) -> None:
    minted = clients.sts.assume_role(RoleArn=DEVELOPER, RoleSessionName="minted")["Credentials"]
    session = Credentials(minted["AccessKeyId"], minted["SecretAccessKey"], minted["SessionToken"])
    assert code(endpoint, session) == ""
    assert code(endpoint, Credentials(session.access_key_id, session.secret_access_key, "x")) == "InvalidAccessKeyId"


def test_a_users_access_key_is_accepted_until_it_is_deleted(endpoint: Endpoint, clients: Clients) -> None:
    clients.iam.create_user(UserName="guest")
    made = clients.iam.create_access_key(UserName="guest")["AccessKey"]
    key = Credentials(made["AccessKeyId"], made["SecretAccessKey"])
    assert code(endpoint, key) == ""
    clients.iam.delete_access_key(UserName="guest", AccessKeyId=key.access_key_id)
    assert code(endpoint, key) == "InvalidAccessKeyId"


@pytest.fixture
def bucket(clients: Clients) -> Iterator[str]:
    """A bucket with the object `a b/ü+%.txt`."""
    clients.s3.create_bucket(Bucket="guarded.bucket")
    clients.s3.put_object(Bucket="guarded.bucket", Key=KEY, Body=b"hops")
    yield "guarded.bucket"


KEY = "a b/ü+%.txt"


def get(url: str) -> tuple[int, bytes]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=20) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, b""


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_presigned_url_opens_its_object_alone_and_for_its_time(endpoint: Endpoint, bucket: str, version: str) -> None:
    for key in (endpoint.credentials, sessions.mint(endpoint.credentials, DEVELOPER, "presigner")):
        s3 = clients.session(key).client("s3", endpoint_url=endpoint.url, config=Config(signature_version=version))
        url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": KEY}, ExpiresIn=60)
        assert get(url) == (200, b"hops")
        assert get(url.replace("a%20b", "a%20c"))[0] == 403
        assert get(url.replace("Signature=", "Signature=0"))[0] == 403
        past = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": KEY}, ExpiresIn=-1)
        assert get(past)[0] == 403


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_an_upload_form_works_with_its_own_policy_alone(endpoint: Endpoint, bucket: str, version: str) -> None:
    requests = pytest.importorskip("requests")
    s3 = clients.session(endpoint.credentials).client(
        "s3", endpoint_url=endpoint.url, config=Config(signature_version=version)
    )
    form = s3.generate_presigned_post(bucket, "form.txt", ExpiresIn=60)
    files = {"file": ("form.txt", b"malt")}
    assert requests.post(form["url"], data=form["fields"], files=files, timeout=20).status_code == 204
    assert s3.get_object(Bucket=bucket, Key="form.txt")["Body"].read() == b"malt"
    wrong = {**form["fields"], "policy": form["fields"]["policy"][:-4] + "AAAA"}
    for fields in (wrong, {"key": "form.txt"}):
        assert requests.post(form["url"], data=fields, files=files, timeout=20).status_code == 403


def test_a_changed_body_and_an_unsigned_operation_are_refused(endpoint: Endpoint) -> None:
    host = f"127.0.0.1:{port(endpoint)}"
    key = endpoint.credentials
    request = AWSRequest("POST", f"http://{host}/", {"X-Amz-Target": "SageMaker.ListPipelines", "Host": host}, b"{}")
    signer = SigV4Auth(BotocoreCredentials(key.access_key_id, key.secret_access_key), "sagemaker", "us-east-1")
    signer.add_auth(request)
    headers = dict(request.headers)
    assert answer(endpoint, "POST", "/", headers, "{}")[0] == 200
    assert answer(endpoint, "POST", "/", headers, "{ }")[0] == 400
    assert answer(endpoint, "POST", "/", headers | {"X-Amz-Target": "SageMaker.DeletePipeline"}, "{}")[0] == 400
    # A signature for one operation is not one for another that a header adds.
    assert answer(endpoint, "GET", "/", signed(endpoint, host) | {"X-Amz-Target": "SageMaker.ListPipelines"})[0] == 400


def test_an_old_and_a_future_signature_are_refused(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    host = f"127.0.0.1:{port(endpoint)}"
    for minutes in (-16, 16):
        moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)
        monkeypatch.setattr(auth, "get_current_datetime", lambda moment=moment, **_: moment)
        status, _, body = answer(endpoint, "GET", "/", signed(endpoint, host))
        assert (status, "RequestTimeTooSkewed" in body) == (403, True)


def chunked(endpoint: Endpoint, url: str, data: bytes, spoil: bool) -> int:
    """PUT data as one signed chunk, as the AWS SDK for Java sends a stream; returns the status."""
    key, host = endpoint.credentials, f"127.0.0.1:{port(endpoint)}"
    headers = {"X-Amz-Content-SHA256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "Host": host}
    headers |= {"X-Amz-Decoded-Content-Length": str(len(data)), "Content-Encoding": "aws-chunked"}
    request = AWSRequest("PUT", f"http://{host}{url}", headers)
    signer = SigV4Auth(BotocoreCredentials(key.access_key_id, key.secret_access_key), "s3", "us-east-1")
    signer._normalize_url_path = lambda path: path
    signer.add_auth(request)
    parsed = signatures.parse(
        signatures.Request("PUT", url, "", {name.lower(): value for name, value in request.headers.items()})
    )
    scope, empty = f"{parsed.date}/us-east-1/s3/aws4_request", hashlib.sha256(b"").hexdigest()
    body, previous = b"", parsed.value
    for piece in (data, b""):
        digest = hashlib.sha256(piece).hexdigest()
        text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", parsed.time, scope, previous, empty, digest])
        previous = signer.signature(text, request)
        body += f"{len(piece):x};chunk-signature={previous}\r\n".encode() + piece + b"\r\n"
    body = body.replace(b"malt", b"salt") if spoil else body
    connection = http.client.HTTPConnection("127.0.0.1", port(endpoint), timeout=20)
    connection.request("PUT", url, body, dict(request.headers))
    status = connection.getresponse().status
    connection.close()
    return status


def test_signed_chunks_are_verified_one_by_one(endpoint: Endpoint, bucket: str, clients: Clients) -> None:
    assert chunked(endpoint, f"/{bucket}/chunks", b"malt", spoil=True) == 403
    assert chunked(endpoint, f"/{bucket}/chunks", b"malt", spoil=False) == 200
    assert clients.s3.get_object(Bucket=bucket, Key="chunks")["Body"].read() == b"malt"

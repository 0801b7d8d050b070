"""States of `deploy` that fill the release folder: releases/<version>/ in the artifact bucket.

It holds what Evaluate wrote beside evaluation.json, approval.json, and the model artifact. The artifact is served from
there: runs cannot write into it. S3 computes the copy's SHA-256, which must be the one that Evaluate stored with the
package, so that a file that was exchanged after its evaluation does not serve.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
"""

from typing import Any

from pipelines.authoring.endpoint_queries import find
from pipelines.authoring.step_functions import StateMachine, added, chain

BUCKET = "${ArtifactBucket}"
RELEASE = "'releases/' & $states.input.package.version & '/'"
PACKAGE = "$states.input.package"
# The evaluation's address without s3:// and the file's name.
EVALUATION = f"$replace($substringAfter({PACKAGE}.evaluation, 's3://'), /[^\\/]+$/, '')"
PREFIX = f"$substringAfter({EVALUATION}, '/')"
SMOKE_TEST = "smoke-test.json"
SAME = "{% $states.input %}"
# The package's SHA-256, 64 hexadecimal digits, as S3 writes it: in base64. Three digits are two letters.
BASE64 = """(
    $letters := 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
    $digit := function($i) { $length($substringBefore('0123456789abcdef', $substring($hex, $i, 1))) };
    $letter := function($n) { $substring($letters, $n, 1) };
    $pair := function($i) {(
        $n := 256 * $digit($i) + 16 * $digit($i + 1) + $digit($i + 2);
        $letter($floor($n / 64)) & $letter($n % 64)
    )};
    $join($map([0..20], function($k) { $pair(3 * $k) })) & $letter(4 * $digit(63)) & '='
)"""

# Of the answer of CopyObject or HeadObject. How Step Functions spells ChecksumSHA256 is not documented.
CHECKSUM = "$append($each({}, function($v, $name) {{ $lowercase($name) = 'checksumsha256' ? $v }}), ['none'])[0]"


def release(s: StateMachine, models: dict[str, Any], retry: Any, failed: Any) -> Any:
    """The smoke test, then the release folder; where the model exists already, straight to the configuration."""
    unread = f"""{{'Error': $states.input.error.Error,
        'Cause': '{SMOKE_TEST} of the evaluation cannot be read: ' & $states.input.error.Cause}}"""
    smoke = s.jsonata(
        "SmokeTestFile",
        "aws-sdk:s3:getObject",
        {
            "Bucket": f"{{% $substringBefore({EVALUATION}, '/') %}}",
            "Key": f"{{% {PREFIX} & '{SMOKE_TEST}' %}}",
        },
        added(smoke="$parse($states.result.Body)"),
        otherwise=chain(s.compute("SmokeTestUnread", error=unread), retry),
    )
    filled = files(s, artifact(s, models["model"], retry, failed), retry)
    found = find(s, "Model", "Model", f"{PACKAGE}.name", then=models["config"], otherwise=filled)
    return chain(smoke, approval(s, found, retry))


def approval(s: StateMachine, then: Any, retry: Any) -> Any:
    """approval.json: who approved it, when, with which note, and what of the gate was overridden.

    Written by the event of this package's approval, and by the first deployment. Then the approver is the last
    who changed the package; later that is this state machine, which writes the outcome.
    """
    members = {
        "model_package": "arn",
        "version": "version",
        "approved_by": "by",
        "approved_at": "at",
        "note": "note",
        "override_reason": "override",
        "failed_criteria": "criteria",
        "artifact_sha256": "sha256",
    }
    record = {name: f"{{% {PACKAGE}.{member} %}}" for name, member in members.items()}
    write = s.jsonata(
        "Approval",
        "aws-sdk:s3:putObject",
        {
            "Bucket": BUCKET,
            "Key": f"{{% {RELEASE} & 'approval.json' %}}",
            "Body": {**record, "version": f"{{% $number({PACKAGE}.version) %}}", "approval_status": "Approved"},
            "ContentType": "application/json",
        },
        SAME,
        otherwise=retry,
    )
    chain(write, then)
    its_event = s.rule.StringEqualsPath("$.package.arn", "$.event.package")
    first = s.rule.StringEquals("$.package.status", "")
    return s.choice("IsApprovalRecorded", (s.rule.Or([its_event, first]), write), otherwise=then)


def files(s: StateMachine, then: Any, retry: Any) -> Any:
    """Copy what Evaluate wrote: report, model card, lineage, SBOM, hashes."""
    listed = s.jsonata(
        "ReleaseFiles",
        "aws-sdk:s3:listObjectsV2",
        {"Bucket": f"{{% $substringBefore({EVALUATION}, '/') %}}", "Prefix": f"{{% {PREFIX} %}}"},
        # The artifact is copied by itself, with its digest.
        added(files="[$states.result.Contents.Key[$not($contains($, /model\\.tar\\.gz$/))]]"),
        otherwise=retry,
    )
    copy = s.jsonata(
        "CopyReleaseFile",
        "aws-sdk:s3:copyObject",
        {
            "Bucket": BUCKET,
            "Key": f"{{% {RELEASE} & $substringAfter($states.input.files[0], {PREFIX}) %}}",
            "CopySource": f"{{% $substringBefore({EVALUATION}, '/') & '/' & $states.input.files[0] %}}",
        },
        SAME,
        otherwise=retry,
    )
    rest = "$filter($states.input.files, function($name, $i) { $i > 0 })"
    following = s.compute("NextReleaseFile", files=f"[{rest}]")
    choice = s.choice("HasReleaseFile", (s.present("$.files[0]"), copy), otherwise=then)
    chain(copy, following, choice)
    return chain(listed, choice)


def artifact(s: StateMachine, then: Any, retry: Any, failed: Any) -> Any:
    """The verified artifact in the release folder: copied, unless it is there already."""
    key = f"{{% {RELEASE} & 'model.tar.gz' %}}"
    copied, released = (
        added(artifact=f"{{'sha256': {CHECKSUM.format(source)}, 'expected': ($hex := {PACKAGE}.sha256; {BASE64})}}")
        for source in ("$states.result.CopyObjectResult", "$states.result")
    )
    copy = s.jsonata(
        "CopyArtifact",
        "aws-sdk:s3:copyObject",
        {
            "Bucket": BUCKET,
            "Key": key,
            "CopySource": f"{{% $substringAfter({PACKAGE}.model, 's3://') %}}",
            "ChecksumAlgorithm": "SHA256",
        },
        copied,
        otherwise=retry,
    )
    changed = s.compute(
        "ArtifactChanged",
        error="""{'Error': 'ArtifactChanged', 'Cause': 'the artifact is not the one that was evaluated: its SHA-256 is '
            & $states.input.artifact.sha256 & ' in base64, not ' & $states.input.artifact.expected}""",
    )
    chain(changed, failed)
    same = s.rule.StringEqualsPath("$.artifact.sha256", "$.artifact.expected")
    chain(copy, s.choice("IsArtifactCopied", (same, then), otherwise=changed))
    there = s.jsonata(
        "ReleasedArtifact",
        "aws-sdk:s3:headObject",
        {"Bucket": BUCKET, "Key": key, "ChecksumMode": "ENABLED"},
        released,
        {"States.ALL": copy},
        attempts=1,
    )
    return chain(there, s.choice("IsArtifactReleased", (same, then), otherwise=copy))

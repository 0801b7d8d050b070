"""The inputs of a run that `retrain` starts: a snapshot of the cleaned table, and the approved model."""

from typing import Any

from pipelines.authoring import deploy_candidate, snapshot
from pipelines.authoring.step_functions import StateMachine, added, chain, format_

# The name of a snapshot: a target of its own for every try, as a failed UNLOAD leaves files in its target.
TRY = "States.Hash(States.Format('{} {} {}', $$.Execution.Id, $$.Execution.StartTime, $$.State.RetryCount), 'SHA-256')"


def data(s: StateMachine, then: Any) -> Any:
    """The data in $.data.uri: the input's, the latest run's where the table has not changed, or a new snapshot."""
    taken = take_snapshot(s, snapshot.unload(), then)
    same = s.pass_("SameSnapshot", {"uri.$": "$.last.InputData"}, "$.data")
    # Snapshots expire (SnapshotExpirationInDays).
    there = objects(s, "SnapshotObjects", "data.uri", taken)
    found = (s.rule.NumericGreaterThan("$.found.objects", 0), then)
    chain(same, there, s.choice("HasSnapshot", found, otherwise=taken))
    given = chain(s.pass_("GivenData", {"uri.$": "$.given.InputData"}, "$.data"), then)
    # In a table to which rows are only added, the newest delivery and the number of rows identify the content.
    unchanged = s.rule.And(
        [
            s.rule.Not(s.rule.StringEquals("$.last.InputData", "")),
            s.rule.StringEqualsPath("$.last.CutOff", "$.table.cut_off"),
            s.rule.StringEqualsPath("$.last.Rows", "$.table.rows"),
        ]
    )
    return s.choice("IsSameData", (s.present("$.given.InputData"), given), (unchanged, same), otherwise=taken)


def take_snapshot(s: StateMachine, statement: str, then: Any) -> Any:
    """Run an UNLOAD up to $.table.cut_off, of the days in $.table; its address is in $.data.uri."""
    taken = s.athena(
        "Snapshot",
        format_(statement, *snapshot.FILLING, TRY),
        "$.unload",
        # Another try is another query: with the same token Athena answers with the failed one.
        token=TRY,
    )
    new = s.compute(
        "NewSnapshot",
        data="{'uri': 's3://${ArtifactBucket}/snapshots/' "
        "& $match($states.input.unload.text, /[0-9a-f]{64}/)[0].match & '/'}",
    )
    return chain(taken, new, then)


def champion(s: StateMachine, then: Any) -> Any:
    """The latest approved model in $.champion {uri, sha256, version, loss}, or a placeholder with the reason why not.

    sha256 is the digest that was recorded when the model was registered; empty for a package registered otherwise.
    loss is the recorded loss to the best version approved before it, or 0.
    """
    describe = s.jsonata(
        "ChampionModel",
        "aws-sdk:sagemaker:describeModelPackage",
        {"ModelPackageName": "{% $states.input.approved.arns[0] %}"},
        added(
            champion="{'uri': $states.result.InferenceSpecification.Containers[0].ModelDataUrl, "
            "'sha256': $append($states.result.CustomerMetadataProperties.ArtifactSha256, [''])[0], "
            "'loss': $append($states.result.CustomerMetadataProperties.AccumulatedLoss, ['0'])[0], "
            "'version': $string($states.result.ModelPackageVersion)}"
        ),
    )
    nobody = {"sha256": "", "version": "", "loss": "0"}
    none = chain(s.pass_("NoChampion", {"uri": "${NoChampionUri}", **nobody}, "$.champion"), then)
    # A job whose input does not exist fails before it begins, and a champion that is gone must not block its successor.
    # A champion that cannot be read for another reason fails the execution: without it the gate would be open.
    lost = chain(s.pass_("LostChampion", {"uri": "${LostChampionUri}", **nobody}, "$.champion"), then)
    there = objects(s, "ChampionArtifact", "champion.uri", lost)
    found = (s.rule.NumericGreaterThan("$.found.objects", 0), then)
    chain(describe, there, s.choice("HasArtifact", found, otherwise=lost))
    return deploy_candidate.approved(s, "HasChampion", describe, none)[0]


def objects(s: StateMachine, name: str, uri: str, none: Any = None) -> Any:
    """Count the objects at an S3 address of the state's input.

    none: the next state where the bucket does not exist (default: `failed`).
    """
    address = f"$states.input.{uri}"
    return s.jsonata(
        name,
        "aws-sdk:s3:listObjectsV2",
        {
            "Bucket": f"{{% $split({address}, '/')[2] %}}",
            "Prefix": f"{{% $substringAfter($substringAfter({address}, 's3://'), '/') %}}",
            "MaxKeys": 1,
        },
        added(found="{'objects': $states.result.KeyCount}"),
        {"S3.NoSuchBucketException": none} if none else None,
    )

"""Processing jobs of more than one instance, and the name that their pipeline gives them."""

import json

from benchmarks.support.definitions import INSTANCE, Project

SCRIPT = """
    import json, sys
    host = json.loads((INPUT.parents[1] / 'config' / 'resourceconfig.json').read_text())
    files = {name: sorted(each.name for each in (INPUT / name).iterdir()) for name in ('whole', 'shard')}
    found = {'hosts': host['hosts'], 'name': sys.argv[1], **files}
    print('runs on', host['current_host'])
    (OUTPUT / 'out' / host['current_host']).write_text(json.dumps(found))
"""


def test_instances_have_their_shard_their_configuration_and_their_log(project: Project) -> None:
    for name in ("a", "b", "c"):
        rows = project.put(f"rows/{name}", name).removesuffix(name)
    inputs = {"whole": rows, "shard": rows}
    step = project.processing(
        "Step", SCRIPT, inputs=inputs, outputs=("out",), arguments=({"Get": "Execution.ProcessingJobName"},)
    )
    step["Arguments"]["ProcessingResources"] = {"ClusterConfig": {**INSTANCE, "InstanceCount": 2}}
    step["Arguments"]["ProcessingInputs"][-1]["S3Input"]["S3DataDistributionType"] = "ShardedByS3Key"
    run = project.run(step)
    name = run.steps()["Step"]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    folder = f"out/{run.arn.rpartition('/')[2]}/Step/out"
    shards = {host: json.loads(project.get(f"{folder}/{host}")) for host in ("algo-1", "algo-2")}
    same = {"hosts": ["algo-1", "algo-2"], "name": name, "whole": ["a", "b", "c"]}
    assert shards == {"algo-1": {**same, "shard": ["a", "c"]}, "algo-2": {**same, "shard": ["b"]}}
    group = "/aws/sagemaker/ProcessingJobs"
    for host in shards:
        prefix = f"{name}/{host}-"
        (stream,) = project.clients.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=prefix)[
            "logStreams"
        ]
        events = project.clients.logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])
        assert events["events"][-1]["message"] == f"runs on {host}"

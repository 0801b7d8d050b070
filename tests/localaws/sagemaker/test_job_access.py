"""AWS inside a job: the endpoint and nothing else, as the job's role; nothing at all with network isolation."""

from benchmarks.support.definitions import ROLE, Project

CALL = """
    import boto3, os, socket
    account = boto3.client('sts').get_caller_identity()
    bucket, key = os.environ['PLACE'].split('/', 1)
    body = boto3.client('s3').get_object(Bucket=bucket, Key=key)['Body'].read().decode()
    print(account['Arn'], os.environ['AWS_REGION'], body)
    try:
        socket.create_connection(('127.0.0.1', 1), 2)
    except OSError as error:
        print(type(error).__name__)
    boto3.client('s3').put_object(Bucket=bucket, Key='made', Body=b'x' * 3_000_000)
"""


def test_a_job_calls_aws_as_its_role(project: Project) -> None:
    project.put("given", "hops")
    run = project.run(project.processing("Step", CALL, environment={"PLACE": f"{project.name}/given"}))
    assert run.statuses() == {"Step": "Succeeded"}, run.reason("Step")
    assert len(project.get("made")) == 3_000_000
    job = run.steps()["Step"]["Metadata"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    group = "/aws/sagemaker/ProcessingJobs"
    stream = project.clients.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=job)["logStreams"][0]
    events = project.clients.logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
    role = ROLE.rpartition("/")[2]
    called, refused = [each["message"] for each in events[-2:]]
    assert called.startswith(f"arn:aws:sts::000000000000:assumed-role/{role}/SageMaker")
    assert called.endswith(" us-east-1 hops")
    assert refused == "ConnectionRefusedError"


def test_network_isolation_blocks_aws_and_the_failure_reason_names_it(project: Project) -> None:
    step = project.processing("Step", CALL, environment={"PLACE": f"{project.name}/given"})
    step["Arguments"]["NetworkConfig"] = {"EnableNetworkIsolation": True}
    run = project.run(step)
    assert run.statuses() == {"Step": "Failed"}
    assert "EnableNetworkIsolation is on: this job can call no AWS service, S3 included" in run.reason("Step")

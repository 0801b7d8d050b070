"""SageMaker on this machine: pipelines and their executions, jobs, and the model registry, behind AWS's own API.

`service` answers requests and checks them against botocore's model, `definitions` holds pipelines and executions,
`registry` model packages, `execution` runs a definition step by step, `processing` and `training` are its jobs.
"""

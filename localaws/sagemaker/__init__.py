"""SageMaker on this machine: pipelines and their executions, jobs, and the model registry, behind AWS's own API.

service                  answers requests, checked against botocore's model; `part` puts everything together
definitions, starts      the operations on pipelines and on their executions
execution, run, steps    an execution's life; which step when; what each type of step does
jobs, containers         a job's document; what happens inside its container
workplace, process       a job's folder; the step's process, as far kept from the machine as `isolation` can
registry                 model package groups and packages, and their approval
"""

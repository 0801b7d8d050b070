"""SageMaker on this machine: pipelines and their executions, jobs, and the model registry, behind AWS's own API.

service                        answers requests, checked against botocore's model; `component` puts everything together
pipelines, executions_api      the operations on pipelines and on their executions
execution, run                 an execution's life; which step runs when
steps, step_types              a step's document; what a step of each type does
runnable, selective            what cannot run here, before an execution starts; executions of chosen steps
jobs, job_kinds, jobs_api      a job's document; the kinds of job; their operations
processing, training           what happens inside a job's container; `toolkit` is the contract of script mode
container_images, algorithms   what runs in an image's place
job_directory, process         a job's folder; the step's process
isolation, sandbox, relay      the level of isolation; namespaces and mounts; the way from inside to the endpoint
launch, forkserver             a step as a new interpreter, or forked from one that has loaded the libraries
registry, package_groups       model packages, and their groups
"""

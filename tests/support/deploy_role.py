"""What CloudFormation's handlers may call and our templates do not make them call, and how resources are named."""

# What the handlers may call and our templates do not make them call, by reason. A service alone stands for all of it.
UNUSED = {
    "no VPC, file system, layer, code signing, capacity provider or tuned runtime on the Lambdas": {
        "ec2",
        "elasticfilesystem",
        "s3files",
        "lambda:AssociateRuntimeAlias",
        "lambda:DeleteFunctionCodeSigningConfig",
        "lambda:GetCodeSigningConfig",
        "lambda:GetLayerVersion",
        "lambda:PassCapacityProvider",
        "lambda:PublishVersion",
        "lambda:PutFunctionCodeSigningConfig",
        "lambda:PutFunctionRecursionConfig",
        "lambda:PutFunctionScalingConfig",
        "lambda:PutRuntimeManagementConfig",
    },
    "no Lake Formation, connection or schema registry behind the table": {
        "lakeformation",
        "glue:CreateConnection",
        "glue:DeleteConnection",
        "glue:GetConnection",
        "glue:GetSchemaVersion",
        "glue:PassConnection",
        "glue:UpdateConnection",
    },
    "roles with policies of their own and a boundary that stays; no users, no groups": {
        "iam:AttachGroupPolicy",
        "iam:AttachUserPolicy",
        "iam:CreateServiceLinkedRole",
        "iam:DeleteRolePermissionsBoundary",
        "iam:DetachGroupPolicy",
        "iam:DetachUserPolicy",
    },
    "an API without a policy of its own": {"apigateway:UpdateRestApiPolicy"},
    "a stream with shards, retention and encryption, and nothing else set": {
        "kinesis:DisableEnhancedMonitoring",
        "kinesis:EnableEnhancedMonitoring",
        "kinesis:UpdateMaxRecordSize",
        "kinesis:UpdateStreamRecordDistributionStrategy",
        "kinesis:UpdateStreamWarmThroughput",
    },
    "Firehose reads an encrypted stream; it encrypts none of its own": {
        "firehose:StartDeliveryStreamEncryption",
        "firehose:StopDeliveryStreamEncryption",
        "kms:RevokeGrant",
    },
    "log groups with retention and a key, and nothing else set": {
        "logs:CreateLogDelivery",
        "logs:DeleteDataProtectionPolicy",
        "logs:DeleteIndexPolicy",
        "logs:DeleteResourcePolicy",
        "logs:DescribeResourcePolicies",
        "logs:PutBearerTokenAuthentication",
        "logs:PutDataProtectionPolicy",
        "logs:PutIndexPolicy",
        "logs:PutLogGroupDeletionProtection",
        "logs:PutResourcePolicy",
        "s3:REST.PUT.OBJECT",
    },
    "buckets with encryption, life cycle, events, ownership, tags and versions, and nothing else set": {
        "s3tables",
        "s3:CreateBucketMetadataTableConfiguration",
        "s3:DeleteBucketAnalyticsConfiguration",
        "s3:DeleteBucketCors",
        "s3:DeleteBucketEncryption",
        "s3:DeleteBucketLifecycle",
        "s3:DeleteBucketMetadataTableConfiguration",
        "s3:DeleteBucketMetricsConfiguration",
        "s3:DeleteBucketReplication",
        "s3:DeleteBucketWebsite",
        "s3:GetBucketAbac",
        "s3:GetBucketMetadataTableConfiguration",
        "s3:PutAccelerateConfiguration",
        "s3:PutAnalyticsConfiguration",
        "s3:PutBucketAbac",
        "s3:PutBucketAcl",
        "s3:PutBucketCORS",
        "s3:PutBucketLogging",
        "s3:PutBucketObjectLockConfiguration",
        "s3:PutBucketReplication",
        "s3:PutBucketWebsite",
        "s3:PutIntelligentTieringConfiguration",
        "s3:PutInventoryConfiguration",
        "s3:PutMetricsConfiguration",
        "s3:PutObjectAcl",
        "s3:PutObjectLockConfiguration",
        "s3:PutReplicationConfiguration",
        "s3:UpdateBucketMetadataAnnotationTableConfiguration",
        "s3:UpdateBucketMetadataInventoryTableConfiguration",
        "s3:UpdateBucketMetadataJournalTableConfiguration",
    },
    "a bucket is emptied by a person; queries write results with the rights of their caller": {
        "s3:AbortMultipartUpload",
        "s3:DeleteObject",
        "s3:ListBucketMultipartUploads",
        "s3:ListMultipartUploadParts",
    },
    "the topic's data is not masked; the group is shared with no account": {
        "sns:PutDataProtectionPolicy",
        "sagemaker:DeleteModelPackageGroupPolicy",
        "sagemaker:PutModelPackageGroupPolicy",
    },
}

# What the role does itself beside what the code calls by name, and why.
BESIDE = {
    "iam:PassRole": "a right without a call",
    "cloudformation:TagResource": "a change set carries the environment's tags",
    "cloudformation:UntagResource": "a change set carries the environment's tags",
    "s3:GetObjectVersion": "CloudFormation and Lambda read the shipped code with the role's rights",
    "sagemaker:AddTags": "the pipeline is made with tags",
    "kms:Decrypt": "the artifact bucket may be under the environment's own key",
    "kms:GenerateDataKey": "the artifact bucket may be under the environment's own key",
}

# Operations whose rights are called otherwise.
RIGHTS = {"s3:HeadObject": {"s3:GetObject", "s3:ListBucket"}}

# Types of which resources are made, the right to make one, and the ARN it is made under. {name} is CloudFormation's.
API = "apigateway:eu-west-1::"
MADE = {
    "ApiGateway::Deployment": ("apigateway:POST", f"{API}/restapis/a1b2/deployments"),
    "ApiGateway::Method": ("apigateway:PUT", f"{API}/restapis/a1b2/resources/c3d4/methods/POST"),
    "ApiGateway::Resource": ("apigateway:POST", f"{API}/restapis/a1b2/resources/c3d4"),
    "ApiGateway::RestApi": ("apigateway:POST", f"{API}/restapis"),
    "ApiGateway::Stage": ("apigateway:POST", f"{API}/restapis/a1b2/stages"),
    "ApiGateway::UsagePlan": ("apigateway:POST", f"{API}/usageplans"),
    "Athena::NamedQuery": ("athena:CreateNamedQuery", "athena:eu-west-1:123456789012:workgroup/{stack}"),
    "Athena::WorkGroup": ("athena:CreateWorkGroup", "athena:eu-west-1:123456789012:workgroup/{stack}"),
    "CloudWatch::Alarm": ("cloudwatch:PutMetricAlarm", "cloudwatch:eu-west-1:123456789012:alarm:{name}"),
    "CloudWatch::Dashboard": ("cloudwatch:PutDashboard", "cloudwatch::123456789012:dashboard/{stack}"),
    "Events::Rule": ("events:PutRule", "events:eu-west-1:123456789012:rule/{name}"),
    "Glue::Database": ("glue:CreateDatabase", "glue:eu-west-1:123456789012:database/{database}"),
    "Glue::Table": ("glue:CreateTable", "glue:eu-west-1:123456789012:table/{database}/{table}"),
    "IAM::ManagedPolicy": ("iam:CreatePolicy", "iam::123456789012:policy/{name}"),
    "IAM::Role": ("iam:CreateRole", "iam::123456789012:role/{name}"),
    "KMS::Key": ("kms:EnableKeyRotation", "kms:eu-west-1:123456789012:key/1234abcd"),
    "Kinesis::Stream": ("kinesis:CreateStream", "kinesis:eu-west-1:123456789012:stream/{name}"),
    "KinesisFirehose::DeliveryStream": (
        "firehose:CreateDeliveryStream",
        "firehose:eu-west-1:123456789012:deliverystream/{name}",
    ),
    "Lambda::EventInvokeConfig": (
        "lambda:PutFunctionEventInvokeConfig",
        "lambda:eu-west-1:123456789012:function:{stack}-Collector-1A2B",
    ),
    "Lambda::Function": ("lambda:CreateFunction", "lambda:eu-west-1:123456789012:function:{name}"),
    "Logs::LogGroup": ("logs:CreateLogGroup", "logs:eu-west-1:123456789012:log-group:{name}"),
    "Logs::LogStream": (
        "logs:CreateLogStream",
        "logs:eu-west-1:123456789012:log-group:{stack}-DeliveryLogs-1A2B:log-stream:{name}",
    ),
    "S3::Bucket": ("s3:CreateBucket", "s3:::{bucket}"),
    "S3::BucketPolicy": ("s3:PutBucketPolicy", "s3:::{bucket}"),
    "SageMaker::ModelPackageGroup": (
        "sagemaker:CreateModelPackageGroup",
        "sagemaker:eu-west-1:123456789012:model-package-group/{group}",
    ),
    "Scheduler::Schedule": ("scheduler:CreateSchedule", "scheduler:eu-west-1:123456789012:schedule/default/{name}"),
    "SNS::Subscription": ("sns:Subscribe", "sns:eu-west-1:123456789012:{stack}-Topic-1A2B"),
    "SNS::Topic": ("sns:CreateTopic", "sns:eu-west-1:123456789012:{name}"),
    "SNS::TopicPolicy": ("sns:SetTopicAttributes", "sns:eu-west-1:123456789012:{stack}-Topic-1A2B"),
    "SQS::Queue": ("sqs:CreateQueue", "sqs:eu-west-1:123456789012:{name}"),
    "SQS::QueuePolicy": ("sqs:SetQueueAttributes", "sqs:eu-west-1:123456789012:{stack}-StartDeadLetters-1A2B"),
    "StepFunctions::StateMachine": (
        "states:CreateStateMachine",
        "states:eu-west-1:123456789012:stateMachine:{stack}-{machine}",
    ),
}

# A key's id does not name its environment; its tags do, which the statements' conditions compare. Nor do API Gateway's
# identifiers.
SHARED = {"KMS::Key", *(kind for kind in MADE if kind.startswith("ApiGateway::"))}

"""Checkpoints in a bucket of a real S3 server: written once, and never again."""

from __future__ import annotations

import pytest

from keelway.engines.obstore import Patience, StoreCheckpoints, open_store
from keelway.errors import StorageError
from keelway.testing.checkpoints import NAME, TEXT, CheckpointTargetConformance
from keelway.testing.seaweed import SeaweedServer


class TestStoreCheckpoints(CheckpointTargetConformance):
    @pytest.fixture
    def target(self, seaweed: SeaweedServer) -> StoreCheckpoints:
        return StoreCheckpoints(open_store(f"s3://{seaweed.bucket()}/churn/checkpoints", seaweed.options))


def test_a_store_that_is_gone_is_told(seaweed: SeaweedServer, haste: Patience) -> None:
    options = seaweed.options | {"endpoint": "http://127.0.0.1:9"}
    target = StoreCheckpoints(open_store("s3://bucket", options, patience=haste))
    with pytest.raises(StorageError):
        target.put(NAME, TEXT)
    with pytest.raises(StorageError):
        target.names()


def test_wrong_credentials_are_told_without_being_quoted(seaweed: SeaweedServer, haste: Patience) -> None:
    options = seaweed.options | {"secret_access_key": "hunter2hunter2"}
    target = StoreCheckpoints(open_store(f"s3://{seaweed.bucket()}", options, patience=haste))
    with pytest.raises(StorageError) as caught:
        target.put(NAME, TEXT)
    assert "hunter2" not in str(caught.value)


def test_a_locked_bucket_keeps_a_checkpoint_from_its_own_owner(seaweed: SeaweedServer) -> None:
    botocore = pytest.importorskip("botocore.session", reason="the client that sets locks is not installed")
    errors = pytest.importorskip("botocore.exceptions")
    given = seaweed.options
    client = botocore.get_session().create_client(
        "s3",
        region_name=given["region"],
        endpoint_url=given["endpoint"],
        aws_access_key_id=given["access_key_id"],
        aws_secret_access_key=given["secret_access_key"],
    )
    bucket = seaweed.bucket()
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
    client.put_object_lock_configuration(
        Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    target = StoreCheckpoints(open_store(f"s3://{bucket}/churn", given))
    target.put(NAME, TEXT)
    (version,) = client.list_object_versions(Bucket=bucket)["Versions"]
    with pytest.raises(errors.ClientError, match="AccessDenied"):
        client.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
    assert target.get(NAME) == TEXT
    client.close()

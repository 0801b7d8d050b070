"""Splits houses.csv into train and validation without headers, the label first; reads it from S3 itself."""

import argparse
import io
import pathlib

import boto3
import numpy as np
import pandas as pd

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--input-data", required=True)
    uri = parser.parse_args().input_data
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    body = boto3.resource("s3").Object(bucket, key).get()["Body"].read()
    houses = pd.read_csv(io.BytesIO(body))
    table = houses[["price", *(name for name in houses if name != "price")]].to_numpy()
    train, validation, test = np.split(table, [int(0.7 * len(table)), int(0.85 * len(table))])
    for name, rows in (("train", train), ("validation", validation), ("test", test)):
        folder = pathlib.Path("/opt/ml/processing", name)
        folder.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(folder / f"{name}.csv", header=False, index=False)

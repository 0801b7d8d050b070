"""What code in the XGBoost images imports of its container: encoder."""

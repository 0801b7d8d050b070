"""In the XGBoost images."""

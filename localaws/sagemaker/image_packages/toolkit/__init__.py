"""In the scikit-learn and XGBoost images."""

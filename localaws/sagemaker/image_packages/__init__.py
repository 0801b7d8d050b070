"""Packages that AWS puts into its images and code imports from there: folders for PYTHONPATH, by image."""

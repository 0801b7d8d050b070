"""Coverage-guided fuzzing with atheris (extra `fuzz`); each target runs as `python -m tests.fuzz.<target>`."""

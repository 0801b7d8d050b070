"""What inference code imports: framework."""

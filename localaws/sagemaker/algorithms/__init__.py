"""Programs of images that run here under this interpreter, each as a script inside its job."""

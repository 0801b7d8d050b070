"""Real-time endpoints: models served by processes on this machine behind InvokeEndpoint."""

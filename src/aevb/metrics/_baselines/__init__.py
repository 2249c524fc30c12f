"""Classical models of the data, fitted in seconds: what a generative model has to beat."""

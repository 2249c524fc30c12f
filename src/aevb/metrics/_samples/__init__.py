"""How close samples and reconstructions are to data."""

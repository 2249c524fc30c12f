"""The parts that make training fast; each has a plain fallback.

The environment variable ``AEVB_ENGINE=plain`` switches all of them off; ``docs/engine.md`` says
what each buys and when it is not used.
"""

"""Parts that several tests share; imported as `tests.support`."""

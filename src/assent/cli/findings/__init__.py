"""`assent findings` and what belongs to it: what scanners say, looked at and decided about."""

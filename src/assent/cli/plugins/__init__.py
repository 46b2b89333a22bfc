"""Commands about plugins: inspect, trust, make, test."""
